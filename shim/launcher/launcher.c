/* containerd-shim-tandem-v1: hands one call of containerd's over to the node daemon and copies its answer.
 *
 * Everything that containerd gave this process (argv, environment, working directory, stdin) goes to the
 * daemon's socket; its answer (exit status, stdout, stderr) comes back. Wire format: shim/daemon/request.py.
 * Where the daemon cannot be reached, or goes away before it has answered, the Python launcher beside this
 * binary (tandem-launcher) is executed with the same arguments and the same stdin: it starts a daemon, or does
 * the work itself. Rules: static, no library but libc, silent unless the daemon has something to say.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
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
#define FALLBACK "tandem-launcher"
#define MAX_STDIN (4u << 20)
#define ANSWER_TIMEOUT_S 120

static char *input;
static size_t input_size;

static int read_all(int fd, void *buffer, size_t size) {
  for (size_t have = 0; have < size;) {
    ssize_t n = read(fd, (char *)buffer + have, size - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    have += (size_t)n;
  }
  return 0;
}

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

/* containerd's options, or nothing: a terminal, or an action that has no input, is not read. */
static void read_input(const char *action) {
  if ((strcmp(action, "start") && strcmp(action, "-info")) || isatty(0)) return;
  if (!(input = malloc(MAX_STDIN))) return;
  while (input_size < MAX_STDIN) {
    ssize_t n = read(0, input + input_size, MAX_STDIN - input_size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    input_size += (size_t)n;
  }
}

static void append_string(FILE *to, const char *text) { fwrite(text, 1, strlen(text) + 1, to); }

static int send_request(int fd, int argc, char **argv, char **envp) {
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

/* The answer is read to its end before a byte of it is printed: half an answer must not reach containerd. */
static int copy_answer(int fd) {
  uint32_t head[3]; /* exit status, bytes of stdout, bytes of stderr */
  if (read_all(fd, head, sizeof head) || head[1] > MAX_STDIN || head[2] > MAX_STDIN) return -1;
  char *text = malloc((size_t)head[1] + head[2] + 1);
  if (!text || read_all(fd, text, (size_t)head[1] + head[2])) return -1;
  if (write_all(1, text, head[1]) || write_all(2, text + head[1], head[2])) exit(1);
  exit((int)head[0]);
}

static int ask_daemon(int argc, char **argv, char **envp) {
  const char *path = getenv("TANDEM_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
  if (!path || !*path) path = DEFAULT_SOCKET;
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout)) return -1;
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) return -1;
  if (send_request(fd, argc, argv, envp)) return -1;
  return copy_answer(fd);
}

static void exec_fallback(char **argv) {
  char path[PATH_MAX + sizeof FALLBACK];
  ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
  if (n <= 0) return;
  path[n] = 0;
  strcpy(strrchr(path, '/') + 1, FALLBACK);
  int copy = memfd_create("stdin", 0);
  if (input_size && (copy < 0 || write_all(copy, input, input_size) || lseek(copy, 0, SEEK_SET) || dup2(copy, 0) < 0)) return;
  close(copy);
  execv(path, argv);
  fprintf(stderr, "tandem: no daemon answers, and %s cannot be executed: %s\n", path, strerror(errno));
}

int main(int argc, char **argv, char **envp) {
  signal(SIGPIPE, SIG_IGN);
  read_input(argc > 1 ? argv[argc - 1] : "");
  ask_daemon(argc, argv, envp);
  exec_fallback(argv);
  return 1;
}
