"""CGI programs: one in C that does what its path says, a second one, and a component."""

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
    int status = atoi(getenv("QUERY_STRING"));
    if (!status) print(plain);
    exit(status);
  } else if (!strcmp(path, "/late-exit")) {
    print(plain);
    print("first\n");
    fflush(stdout);
    getchar();
    exit(3);
  } else if (!strcmp(path, "/trap")) {
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
    for (char *volatile piece; (piece = malloc(1 << 20));) *piece = 1;
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

# Two cookies, its arguments, and what it is told of its route.
_SECOND = r"""
#include <stdio.h>
#include <stdlib.h>

static void tell(const char *name) {
  const char *value = getenv(name);
  printf("%s=%s\n", name, value ? value : "(none)");
}

int main(int argc, char **argv) {
  printf("Set-Cookie: a=1\nSet-Cookie: b=2\nContent-Type: text/plain\n\n");
  for (int i = 0; i < argc; i++) printf("argument %s\n", argv[i]);
  tell("MODE");
  tell("OWN");
  tell("SCRIPT_NAME");
  tell("PATH_INFO");
  tell("X_MATCHED_ROUTE");
  return 0;
}

__attribute__((export_name("greet"))) void greet(void) {
  printf("Content-Type: text/plain\n\ngreetings from the second\n");
  fflush(stdout);
}
"""

_ANSWER = "Content-Type: text/plain\\0a\\0ahello\\0a"

# Prints a whole answer, and does what `end` says.
_COMPONENT = """(component
  (import "wasi:io/error@0.2.3" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error))
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer 1 $error (type $error0))
    (export "error" (type $error1 (eq $error0)))
    (type $se (variant (case "last-operation-failed" (own $error1)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $se)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8))
      (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.3" (instance $stdout
    (alias outer 1 $output-stream (type $output-stream0))
    (export "output-stream" (type $output-stream (eq $output-stream0)))
    (export "get-stdout" (func (result (own $output-stream))))))
  (core module $env-module
    (memory (export "memory") 1)
    (data (i32.const 100) "{answer}"))
  (core instance $env (instantiate $env-module))
  (alias core export $env "memory" (core memory $memory))
  (core func $get (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower
    (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core module $m
    (import "host" "get" (func $get (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (func (export "run") (result i32)
      (call $write (call $get) (i32.const 100) (i32.const {length}) (i32.const 0))
      {end}))
  (core instance $i (instantiate $m
    (with "host" (instance (export "get" (func $get)) (export "write" (func $write))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $command)))"""


def component(end: str = "i32.const 0") -> str:
    """A component that answers `hello`, and ends with these instructions."""
    length = len(_ANSWER.replace("\\0a", "\n"))
    return _COMPONENT.format(answer=_ANSWER, length=length, end=end)


def program() -> Path:
    """The module."""
    return guests.compile_c(_SOURCE)


def second() -> Path:
    """Another one."""
    return guests.compile_c(_SECOND)
