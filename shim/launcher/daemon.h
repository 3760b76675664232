/* What both C clients of the node daemon need: its socket, and its wire format (shim/daemon/request.py). */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/tandem/tandemd.sock"

static int write_all(int fd, const void *buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    /* MSG_NOSIGNAL would need send(2), which stdout does not have: SIGPIPE is ignored in main instead. */
    ssize_t n = write(fd, (const char *)buffer + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    done += (size_t)n;
  }
  return 0;
}

/* A connection whose answer begins within so many seconds, or -1. */
static int connect_to_daemon(int timeout_s) {
  const char *path = getenv("TANDEM_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval timeout = {.tv_sec = timeout_s};
  if (!path || !*path) path = DEFAULT_SOCKET;
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout)) return -1;
  return connect(fd, (struct sockaddr *)&address, sizeof address) ? -1 : fd;
}

static void append_string(FILE *to, const char *text) { fwrite(text, 1, strlen(text) + 1, to); }

static int send_request(int fd, int argc, char **argv, char **envp, const char *input, size_t input_size) {
  char cwd[PATH_MAX], *strings = NULL;
  size_t strings_size = 0;
  uint32_t envc = 0;
  if (!getcwd(cwd, sizeof cwd)) return -1;
  FILE *body = open_memstream(&strings, &strings_size);
  if (!body) return -1;
  append_string(body, cwd);
  for (int i = 0; i < argc; i++) append_string(body, argv[i]);
  for (; envp[envc]; envc++) append_string(body, envp[envc]);
  if (fclose(body)) return -1;
  uint32_t head[5] = {0x314d4454u, (uint32_t)argc, envc, (uint32_t)strings_size, (uint32_t)input_size};
  if (write_all(fd, head, sizeof head) || write_all(fd, strings, strings_size)) return -1;
  return write_all(fd, input, input_size);
}

/* The path of a program beside this one; 0 where that cannot be told. */
static int path_beside(char *path, size_t size, const char *name) {
  ssize_t n = readlink("/proc/self/exe", path, size - strlen(name) - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  strcpy(strrchr(path, '/') + 1, name);
  return 1;
}
