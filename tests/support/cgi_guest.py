"""A CGI program in C that does what its path says: see `program`."""

from pathlib import Path

from tests.support import guests

_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;
static int count = 10;

static void print(const char *text) { fwrite(text, 1, strlen(text), stdout); }

static void echo(const char *header) {
  static char buffer[65536];
  size_t got;
  print(header);
  while ((got = fread(buffer, 1, sizeof buffer, stdin)) > 0) fwrite(buffer, 1, got, stdout);
}

int main(int argc, char **argv) {
  const char *path = getenv("PATH_INFO"), *plain = "Content-Type: text/plain\n\n";
  fprintf(stderr, "asked for %s\n", path);
  if (!strcmp(path, "/env")) {
    print(plain);
    for (char **variable = environ; *variable; variable++) printf("%s\n", *variable);
  } else if (!strcmp(path, "/args")) {
    print(plain);
    for (int i = 0; i < argc; i++) printf("%s\n", argv[i]);
  } else if (!strcmp(path, "/count")) {
    print(plain);
    printf("%d\n", count++);
  } else if (!strcmp(path, "/echo")) {
    echo("Content-Type: application/octet-stream\r\n\r\n");
  } else if (!strcmp(path, "/stream")) {
    print(plain);
    print("first\n");
    fflush(stdout);
    getchar();
    print("last\n");
  } else if (!strcmp(path, "/large")) {
    print(plain);
    for (int i = 0; i < 131072; i++) printf("line %057d\n", i);
  } else if (!strcmp(path, "/query")) {
    const char *query = getenv("QUERY_STRING");
    /* the query is what is printed, decoded: the tests write headers with it */
    for (; *query; query++) {
      unsigned byte;
      if (*query == '%' && sscanf(query + 1, "%2x", &byte) == 1) {
        putchar(byte);
        query += 2;
      } else {
        putchar(*query);
      }
    }
  } else if (!strcmp(path, "/exit")) {
    print(plain);
    exit(atoi(getenv("QUERY_STRING")));
  } else if (!strcmp(path, "/late-exit")) {
    print(plain);
    print("first\n");
    fflush(stdout);
    getchar();
    exit(3);
  } else if (!strcmp(path, "/trap")) {
    print(plain);
    fflush(stdout);
    __builtin_trap();
  } else if (!strcmp(path, "/loop")) {
    for (volatile int i = 0;; i++) {}
  } else if (!strcmp(path, "/sleep")) {
    sleep(3);
  } else if (!strcmp(path, "/header")) {
    for (int i = 0; i < 100000; i++) printf("X-Number-%d: %d\n", i, i);
  } else if (!strcmp(path, "/endless")) {
    print(plain);
    for (;;) print("more\n");
  } else if (!strcmp(path, "/memory")) {
    while (malloc(1 << 20)) {}
    print("Status: 507 No Memory\n\n");
  } else if (!strcmp(path, "/close")) {
    print(plain);
    print("all\n");
    fclose(stdout);
    sleep(1);
  } else {
    print(plain);
    printf("path %s\n", path);
  }
  return 0;
}

__attribute__((export_name("other"))) void other(void) {
  print("Content-Type: text/plain\n\nother\n");
  fflush(stdout);
}
"""


def program() -> Path:
    """The module."""
    return guests.compile_c(_SOURCE)
