/* The test guest: does what its arguments say, in order. Compiled for Linux and for WASI from this
 * one source, so that both kinds of container can be asked the same things.
 *
 *   probe WORD... [-- WORD...]...      a group is a command with its arguments:
 *   args [TEXT...]     print every argument of the group on its own line
 *   env NAME           print NAME=value, or "NAME is not set"
 *   environ            print the whole environment, a line each
 *   say TEXT / err TEXT  a line on standard output / standard error
 *   cat PATH           copy a file to standard output
 *   stdin              copy standard input to standard output
 *   write PATH TEXT    write a file; a failure is printed with its reason and is not fatal
 *   ls PATH            the names in a directory, sorted
 *   until PATH         wait until there is a file at that path
 *   print TEXT         a text without a line's end
 *   echo               answer every line of standard input with "got LINE"; "bye" ends it
 *   tty                which of the standard streams are a terminal, as "yes yes no"
 *   lines COUNT        COUNT numbered lines on standard output
 *   both COUNT         COUNT numbered lines on each of standard output and standard error
 *   long COUNT         one line of COUNT letters on standard output
 *   eat MIB            take and touch memory, then print how much
 *   sleep SECONDS      sleep
 *   burn MILLISECONDS  use a processor for so long
 *   spin               never return, without a system call
 *   abort              end by a trap or SIGABRT
 *   exit CODE          end with that status
 *
 * The module exports `greet`, too, to be called in the place of the command.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void complain(const char *verb, const char *object) {
  printf("cannot %s %s: %s\n", verb, object, strerror(errno));
}

static void copy(FILE *source) {
  char part[4096];
  size_t got;
  while ((got = fread(part, 1, sizeof part, source)) > 0) fwrite(part, 1, got, stdout);
}

static void cat(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) { complain("read", path); return; }
  copy(file);
  fclose(file);
}

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  if (!file) { complain("write", path); return; }
  int bad = fputs(text, file) < 0;
  bad |= fclose(file) != 0;
  if (bad) complain("write", path);
  else printf("wrote %s\n", path);
}

static int compare(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path) {
  char *names[256];
  int count = 0;
  DIR *directory = opendir(path);
  if (!directory) { complain("list", path); return; }
  for (struct dirent *entry; count < 256 && (entry = readdir(directory));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
      names[count++] = strdup(entry->d_name);
  closedir(directory);
  qsort(names, count, sizeof *names, compare);
  for (int i = 0; i < count; i++) printf("%s\n", names[i]);
}

static void eat(long mebibytes) {
  static char *volatile last; /* or the compiler leaves the memory out */
  long taken = 0;
  for (; taken < mebibytes; taken++) {
    last = malloc(1 << 20);
    if (!last) break;
    memset(last, (int)taken | 1, 1 << 20);
  }
  printf("ate %ld of %ld MiB\n", taken, mebibytes);
}

static void echo(void) {
  char line[4096];
  while (fgets(line, sizeof line, stdin) && strcmp(line, "bye\n")) {
    printf("got %s", line);
    fflush(stdout);
  }
}

static void pause_for(long seconds, long nanoseconds) {
  struct timespec length = {.tv_sec = seconds, .tv_nsec = nanoseconds};
  nanosleep(&length, 0);
}

static void until(const char *path) {
  for (FILE *file; !(file = fopen(path, "r")) || fclose(file);) pause_for(0, 20000000);
}

static long long milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void burn(long length) {
  for (long long end = milliseconds() + length; milliseconds() < end;)
    for (volatile unsigned turn = 0; turn < 100000; turn++) { }
}

static void both(long count) {
  for (long i = 0; i < count; i++) {
    printf("out %ld\n", i);
    fflush(stdout);
    fprintf(stderr, "err %ld\n", i);
  }
}

static const char *terminal(int descriptor) { return isatty(descriptor) ? "yes" : "no"; }

#ifdef __wasi__
__attribute__((export_name("greet"))) void greet(void) { printf("greetings\n"); }
#endif

static void do_command(int count, char **words) {
  const char *verb = words[0], *first = count > 1 ? words[1] : "";
  if (!strcmp(verb, "args")) for (int i = 1; i < count; i++) printf("%s\n", words[i]);
  else if (!strcmp(verb, "env"))
    getenv(first) ? printf("%s=%s\n", first, getenv(first)) : printf("%s is not set\n", first);
  else if (!strcmp(verb, "environ"))
    for (char **entry = environ; entry && *entry; entry++) printf("%s\n", *entry);
  else if (!strcmp(verb, "say")) printf("%s\n", first);
  else if (!strcmp(verb, "err")) fprintf(stderr, "%s\n", first);
  else if (!strcmp(verb, "cat")) cat(first);
  else if (!strcmp(verb, "stdin")) copy(stdin);
  else if (!strcmp(verb, "write")) write_file(first, count > 2 ? words[2] : "");
  else if (!strcmp(verb, "ls")) list(first);
  else if (!strcmp(verb, "lines")) for (long i = 0; i < atol(first); i++) printf("line %ld\n", i);
  else if (!strcmp(verb, "eat")) eat(atol(first));
  else if (!strcmp(verb, "sleep")) pause_for(atol(first), 0);
  else if (!strcmp(verb, "until")) until(first);
  else if (!strcmp(verb, "print")) printf("%s", first);
  else if (!strcmp(verb, "echo")) echo();
  else if (!strcmp(verb, "tty")) printf("%s %s %s\n", terminal(0), terminal(1), terminal(2));
  else if (!strcmp(verb, "both")) both(atol(first));
  else if (!strcmp(verb, "long")) { for (long i = 0; i < atol(first); i++) putchar('a' + i % 26); puts(""); }
  else if (!strcmp(verb, "burn")) burn(atol(first));
  else if (!strcmp(verb, "spin")) for (volatile unsigned turn = 0;; turn++) { }
  else if (!strcmp(verb, "abort")) abort();
  else if (!strcmp(verb, "exit")) exit(atoi(first));
  else { fprintf(stderr, "no such command: %s\n", verb); exit(64); }
  fflush(stdout);
}

int main(int argc, char **argv) {
  for (int start = 1; start < argc;) {
    int end = start;
    while (end < argc && strcmp(argv[end], "--")) end++;
    if (end > start) do_command(end - start, argv + start);
    start = end + 1;
  }
  return 0;
}
