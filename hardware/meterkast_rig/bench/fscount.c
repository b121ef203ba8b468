// Preloaded (LD_PRELOAD) into a process, counts its calls of fsync and fdatasync; the count is asked for
// through the symbol fscount_get.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

static unsigned long calls;

unsigned long fscount_get(void) { return calls; }

static int counted(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  return real(fd);
}

int fsync(int fd) { return counted("fsync", fd); }

int fdatasync(int fd) { return counted("fdatasync", fd); }
