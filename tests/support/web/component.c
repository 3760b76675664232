/* Serves app.c as wasi:http/incoming-handler@0.2.10: the canonical ABI, without a generator.

   A function whose result is more than a word writes it to memory that the last argument points
   to: the case of a result or option in the first byte, what it holds from the next aligned one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"

#define TYPES "wasi:http/types@0.2.10"
#define STREAMS "wasi:io/streams@0.2.10"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern

typedef int32_t handle;
typedef struct {
  char *data;
  size_t size;
} list;
typedef struct {
  uint8_t at;
  union {
    handle handle;
    list list;
  };
} result;
/* Larger than every result that is not looked at. */
typedef struct {
  uint64_t words[16];
} ignored;

IMPORT(TYPES, "[method]incoming-request.method") void request_method(handle, result *);
IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(handle, result *);
IMPORT(TYPES, "[method]incoming-request.headers") handle request_headers(handle);
IMPORT(TYPES, "[method]incoming-request.consume") void request_consume(handle, result *);
IMPORT(TYPES, "[method]incoming-body.stream") void body_stream(handle, result *);
IMPORT(TYPES, "[method]fields.entries") void fields_entries(handle, list *);
IMPORT(TYPES, "[constructor]fields") handle fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(handle, const char *, size_t, const char *, size_t, ignored *);
IMPORT(TYPES, "[constructor]outgoing-response") handle response_new(handle);
IMPORT(TYPES, "[method]outgoing-response.set-status-code") int response_status(handle, int);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(handle, result *);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(handle, int, int, int, int64_t, int, int, int, int);
IMPORT(TYPES, "[method]outgoing-body.write") void outgoing_write(handle, result *);
IMPORT(TYPES, "[static]outgoing-body.finish") void outgoing_finish(handle, int, handle, ignored *);
IMPORT(TYPES, "[resource-drop]fields") void fields_drop(handle);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(handle, int64_t, result *);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle, const char *, size_t, result *);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(handle);

/* what a stream takes at once */
enum { PIECE = 4096 };
static handle request, outparam, source, body, sink;

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t had, size_t align,
                                                                 size_t size) {
  return realloc(old, size);
}

/* What `found` holds; a request that fails here is a trap. */
static handle held(result found) {
  if (found.at) abort();
  return found.handle;
}

size_t read_body(void *to, size_t size) {
  result found;
  if (!source) {
    request_consume(request, &found);
    body_stream(held(found), &found);
    source = held(found);
  }
  stream_read(source, size, &found);
  if (found.at) return 0;
  memcpy(to, found.list.data, found.list.size);
  free(found.list.data);
  return found.list.size;
}

static char *text(list from) {
  char *copy = memcpy(malloc(from.size + 1), from.data, from.size);
  copy[from.size] = 0;
  return copy;
}

void each_header(void (*found)(const char *name, const char *value)) {
  struct {
    list name, value;
  } *entries;
  list all;
  handle fields = request_headers(request);
  fields_entries(fields, &all);
  fields_drop(fields);
  entries = (void *)all.data;
  for (size_t i = 0; i < all.size; i++) found(text(entries[i].name), text(entries[i].value));
}

void begin(int status) {
  static const char name[] = "content-type", value[] = "text/plain";
  ignored unseen;
  result found;
  handle fields = fields_new();
  fields_append(fields, name, strlen(name), value, strlen(value), &unseen);
  handle response = response_new(fields);
  response_status(response, status);
  response_body(response, &found);
  body = held(found);
  outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
  outgoing_write(body, &found);
  sink = held(found);
}

void write_body(const void *data, size_t size) {
  result found;
  for (const char *at = data; size; at += PIECE) {
    size_t part = size < PIECE ? size : PIECE;
    stream_write(sink, at, part, &found);
    if (found.at) abort();
    size -= part;
  }
}

void flush(void) {}

__attribute__((export_name("wasi:http/incoming-handler@0.2.10#handle"))) void handle_request(
    handle given, handle answered) {
  static const char *const methods[] = {"GET", "HEAD", "POST"};
  ignored unseen;
  result found;
  request = given;
  outparam = answered;
  request_method(request, &found);
  const char *method = found.at < 3 ? methods[found.at] : "";
  request_path(request, &found);
  char *path = found.at ? text(found.list) : "";
  path[strcspn(path, "?")] = 0;
  answer(method, path);
  output_drop(sink);
  outgoing_finish(body, 0, 0, &unseen);
}
