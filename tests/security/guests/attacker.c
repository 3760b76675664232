/* The hostile guest: tries one thing per argument and says, a line each, how that went.
 *
 * "OPERATION [WORD...]": the answer is an errno's name, or what was had. Paths of operations that
 * end in "at" go to WASI as they are, relative to the preopen (descriptor 3): the C library, which
 * looks at paths first, is no part of any wall.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

#define ROOT 3
#define ALL_RIGHTS (__WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_READDIR)

extern char **environ;
static char **arguments;

static const char *name_of(int number) {
  switch (number) {
    case EACCES: return "EACCES";
    case EBADF: return "EBADF";
    case EBUSY: return "EBUSY";
    case EEXIST: return "EEXIST";
    case EINVAL: return "EINVAL";
    case EIO: return "EIO";
    case EISDIR: return "EISDIR";
    case ELOOP: return "ELOOP";
    case ENOENT: return "ENOENT";
    case ENOTCAPABLE: return "ENOTCAPABLE";
    case ENOTDIR: return "ENOTDIR";
    case ENOTSUP: return "ENOTSUP";
    case ENXIO: return "ENXIO";
    case EPERM: return "EPERM";
    case EROFS: return "EROFS";
    case EXDEV: return "EXDEV";
  }
  static char text[16];
  snprintf(text, sizeof text, "errno %d", number);
  return text;
}

static void answer(int result) { printf("%s\n", result < 0 ? name_of(errno) : "done"); }

static void answer_wasi(__wasi_errno_t error) {
  errno = error;
  answer(error ? -1 : 0);
}

static void show(int fd) {
  char text[100];
  ssize_t count = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (count < 0) {
    printf("%s\n", name_of(errno));
  } else {
    text[count] = 0;
    printf("read %s\n", text);
  }
  if (fd >= 0) close(fd);
}

static void list(const char *path) {
  DIR *directory = opendir(path);
  if (!directory) {
    printf("%s\n", name_of(errno));
    return;
  }
  printf("holds");
  for (struct dirent *entry; (entry = readdir(directory));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) printf(" %s", entry->d_name);
  printf("\n");
  closedir(directory);
}

static int open_at(const char *path, int create) {
  __wasi_fd_t fd;
  __wasi_errno_t error = __wasi_path_open(
      ROOT, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, path, create ? __WASI_OFLAGS_CREAT : 0,
      create ? __WASI_RIGHTS_FD_WRITE : __WASI_RIGHTS_FD_READ, ALL_RIGHTS, 0, &fd);
  errno = error;
  return error ? -1 : (int)fd;
}

static int put(int fd, const char *text) {
  if (fd < 0) return -1;
  ssize_t count = write(fd, text, strlen(text));
  close(fd);
  return count < 0 ? -1 : 0;
}

static void list_descriptors(void) {
  __wasi_fdstat_t state;
  printf("open");
  for (int fd = 3; fd < 1024; fd++)
    if (__wasi_fd_fdstat_get(fd, &state) != __WASI_ERRNO_BADF) printf(" %d", fd);
  printf("\n");
}

static void eat(void) {
  static char *volatile part; /* or the compiler leaves the memory out */
  while ((part = malloc(1 << 20))) memset(part, 1, 1 << 20);
  printf("no more\n");
}

static void print_all(char **texts) {
  for (; texts && *texts; texts++) printf("%s\n", *texts);
}

static void try(char *what, char *one, char *two) {
  if (!strcmp(what, "read")) show(open(one, O_RDONLY));
  else if (!strcmp(what, "readat")) show(open_at(one, 0));
  else if (!strcmp(what, "list")) list(one);
  else if (!strcmp(what, "make")) answer(put(open(one, O_WRONLY | O_CREAT | O_EXCL, 0666), two));
  else if (!strcmp(what, "makeat")) answer(put(open_at(one, 1), two));
  else if (!strcmp(what, "write")) answer(put(open(one, O_WRONLY), two));
  else if (!strcmp(what, "truncate")) answer(put(open(one, O_WRONLY | O_TRUNC), ""));
  else if (!strcmp(what, "link")) answer(link(one, two));
  else if (!strcmp(what, "linkat")) answer_wasi(__wasi_path_link(ROOT, 0, one, ROOT, two));
  else if (!strcmp(what, "symlink")) answer(symlink(one, two));
  else if (!strcmp(what, "rename")) answer(rename(one, two));
  else if (!strcmp(what, "renameat")) answer_wasi(__wasi_path_rename(ROOT, one, ROOT, two));
  else if (!strcmp(what, "unlinkat")) answer_wasi(__wasi_path_unlink_file(ROOT, one));
  else if (!strcmp(what, "mkdirat")) answer_wasi(__wasi_path_create_directory(ROOT, one));
  else if (!strcmp(what, "descriptors")) list_descriptors();
  else if (!strcmp(what, "hold")) answer(open(one, O_RDONLY));
  else if (!strcmp(what, "arguments")) print_all(arguments);
  else if (!strcmp(what, "environment")) print_all(environ);
  else if (!strcmp(what, "eat")) eat();
  else if (!strcmp(what, "spin")) for (volatile int turn = 0;; turn++) {}
  else printf("no operation %s\n", what);
}

int main(int count, char **given) {
  arguments = given;
  setvbuf(stdout, NULL, _IOLBF, 1024);
  for (int i = 1; i < count; i++) {
    char *words[3] = {0}, *rest = arguments[i];
    for (int word = 0; word < 3; word++) words[word] = strsep(&rest, " ");
    try(words[0], words[1] ? words[1] : "", words[2] ? words[2] : "");
  }
  return 0;
}
