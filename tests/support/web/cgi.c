/* Serves app.c as a CGI program: RFC 3875. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"

extern char **environ;

/* Not stdio's, which would wait for a whole buffer. */
size_t read_body(void *to, size_t size) {
  ssize_t got = read(0, to, size);
  return got < 0 ? 0 : (size_t)got;
}

void each_header(void (*found)(const char *name, const char *value)) {
  for (char **variable = environ; *variable; variable++) {
    char name[200], *at = name;
    if (strncmp(*variable, "HTTP_", 5)) continue;
    const char *from = *variable + 5;
    for (; *from && *from != '=' && at < name + sizeof name - 1; from++)
      *at++ = *from == '_' ? '-' : tolower(*from);
    *at = 0;
    found(name, from + 1);
  }
}

void begin(int status) { printf("Status: %d\nContent-Type: text/plain\n\n", status); }

void write_body(const void *data, size_t size) { fwrite(data, 1, size, stdout); }

void flush(void) { fflush(stdout); }

int main(void) {
  answer(getenv("REQUEST_METHOD"), getenv("PATH_INFO"));
  return 0;
}
