/* containerd-shim-tandem-v1: hands one call of containerd's over to the node daemon and copies its answer.
 *
 * Everything that containerd gave this process (argv, environment, working directory, stdin) goes to the
 * daemon's socket; its answer (exit status, stdout, stderr) comes back. Wire format: shim/daemon/request.py.
 * Where the daemon cannot be reached, or goes away before it has answered, the Python launcher beside this
 * binary (tandem-launcher) is executed with the same arguments and the same stdin: it starts a daemon, or does
 * the work itself. Rules: static, no library but libc, silent unless the daemon has something to say.
 */
#define _GNU_SOURCE
#include <signal.h>

#include "daemon.h"

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
  int fd = connect_to_daemon(ANSWER_TIMEOUT_S);
  if (fd < 0 || send_request(fd, argc, argv, envp, input, input_size)) return -1;
  return copy_answer(fd);
}

static void exec_fallback(char **argv) {
  char path[PATH_MAX];
  if (!path_beside(path, sizeof path, FALLBACK)) return;
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
