/* tandem: the short way of `tandem run`; everything else is the Python program's beside it (tandem-cli).
 *
 * Hands the command line and stdio to a runner of the node daemon's, passes signals on, ends as the guest did.
 * Python's own start is a third of what a run may take, hence C; the protocol is in shim/runner/wire.py, and
 * shim/cli/run_fast.py is the same once more, for a node without a C compiler. Rules: as for the launcher; what is
 * not understood, cannot be served or needs words is tandem-cli's, which begins anew.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>

#include "../launcher/daemon.h"

#define PROGRAM "tandem-cli"
#define LOST "run-lost"
#define TAKEN_TIMEOUT_S 10
#define MAX_ANSWER (1 << 17)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP};
static volatile sig_atomic_t received[64];
static int runner = -1;

static void forward(int number) {
  int saved = errno;
  unsigned char byte = number == SIGTSTP ? SIGSTOP : (unsigned char)number;
  received[number] = 1;
  /* Where it fails, the runner is gone, and the end of file about to be read. */
  if (write(runner, &byte, 1) < 0) errno = 0;
  /* The terminal's Ctrl-Z: the guest is in a session of its own, and sees none. */
  if (number == SIGTSTP) raise(SIGSTOP);
  errno = saved;
}

/* What is ignored (nohup, a script's background) stays ignored. */
static void handle(void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
  for (size_t i = 0; i < COUNT(forwarded); i++)
    if (!sigaction(forwarded[i], NULL, &before) && before.sa_handler != SIG_IGN) sigaction(forwarded[i], &action, NULL);
}

/* Have 0, 1 and 2 open: what is opened next must not become one of them. */
static void open_missing_stdio(void) {
  int fd;
  while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd < 3);
  if (fd >= 3) close(fd);
}

static int send_stdio(int fd) {
  int fds[3] = {0, 1, 2};
  char control[CMSG_SPACE(sizeof fds)] = {0}, byte = 'i';
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof fds);
  memcpy(CMSG_DATA(head), fds, sizeof fds);
  return sendmsg(fd, &message, 0) == 1 ? 0 : -1;
}

/* The message that ends a run, where `answer` holds it whole; `*running`: the guest may have run. */
static unsigned char *find_end(unsigned char *answer, size_t size, int *running) {
  unsigned char *at = answer, *end = answer + size;
  if (at < end && *at == 't') at++;
  if (at < end && *at == 'r') *running = 1, at++;
  if (end - at < 4 || *at != 'e' || end - at - 4 != (at[2] | at[3] << 8)) return NULL;
  return at;
}

static void finish(const unsigned char *end) {
  int status = end[1], number = status - 128;
  if (write_all(2, end + 4, (size_t)(end[2] | end[3] << 8))) errno = 0;
  /* A shell stops its script at a Ctrl-C only if the program died of it; SIGQUIT would dump a core. */
  if ((number == SIGHUP || number == SIGINT || number == SIGTERM) && received[number]) raise(number);
  exit(status);
}

/* Returns 1 where the runner died with its guest, 0 where nothing has run. */
static int run(int argc, char **argv, char **envp) {
  static unsigned char answer[MAX_ANSWER];
  size_t size = 0;
  int running = 0;
  struct timeval for_ever = {0};
  if ((runner = connect_to_daemon(TAKEN_TIMEOUT_S)) < 0) return 0;
  if (send_request(runner, argc, argv, envp, NULL, 0) || send_stdio(runner)) return 0;
  handle(forward);
  while (size < sizeof answer) {
    ssize_t n = read(runner, answer + size, sizeof answer - size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (!size) setsockopt(runner, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof for_ever);
    size += (size_t)n;
    unsigned char *end = find_end(answer, size, &running);
    if (end) {
      handle(SIG_DFL);
      finish(end);
    }
  }
  handle(SIG_DFL);
  return running;
}

int main(int argc, char **argv, char **envp) {
  char path[PATH_MAX], name[] = "tandem-run", lost[] = LOST;
  if (argc > 1 && !strcmp(argv[1], "run") && geteuid() == 0) {
    char *verb = argv[1];
    signal(SIGPIPE, SIG_IGN);
    open_missing_stdio();
    argv[1] = name;
    argv[1] = run(argc - 1, argv + 1, envp) ? lost : verb;
    signal(SIGPIPE, SIG_DFL);
    close(runner);
  }
  if (path_beside(path, sizeof path, PROGRAM)) execv(path, argv);
  fprintf(stderr, "tandem: %s cannot be executed: %s\n", PROGRAM, strerror(errno));
  return 125;
}
