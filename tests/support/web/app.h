/* Between the routes (app.c) and a way of serving them (cgi.c, component.c). */
#include <stddef.h>

/* Of the way of serving. A body is read until 0; an answer begins once. */
size_t read_body(void *to, size_t size);
void each_header(void (*found)(const char *name, const char *value));
void begin(int status);
void write_body(const void *data, size_t size);
void flush(void);

/* Of the routes: answers one request. */
void answer(const char *method, const char *path);
