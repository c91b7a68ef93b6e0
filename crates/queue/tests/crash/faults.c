/* Before a program's own calls to the disk: the FAULT_AT-th of those that are counted goes wrong as FAULT says.
   eio, enospc, eintr: not made, and told so. short: half of it is made, and told so. delay: made 300 ms later. kill: the process is
   gone before it, kill_after: after it. FAULT_AT=0 only counts, and writes the number to FAULT_COUNT at the end. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

static void write_count(void) {
    const char *path = getenv("FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) { fprintf(file, "%ld", atomic_load(&calls)); fclose(file); }
}

__attribute__((constructor)) static void begin(void) { atexit(write_count); }

/* What goes wrong with this call, if anything. */
static const char *fault(void) {
    long now = atomic_fetch_add(&calls, 1) + 1;
    const char *at = getenv("FAULT_AT"), *what = getenv("FAULT");
    if (!at || !what || atol(at) != now) return NULL;
    if (!strcmp(what, "kill")) raise(SIGKILL);
    if (!strcmp(what, "delay")) usleep(300000);
    return what;
}

static int fails(const char *what) {
    if (!what) return 0;
    errno = !strcmp(what, "eio") ? EIO : !strcmp(what, "enospc") ? ENOSPC : !strcmp(what, "eintr") ? EINTR : 0;
    return errno != 0;
}

static void after(const char *what) {
    if (what && !strcmp(what, "kill_after")) raise(SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t piece(int fd, const void *data, size_t count, off64_t at) {
    const char *what = fault();
    if (fails(what)) return -1;
    if (what && !strcmp(what, "short") && count > 1) count /= 2;
    ssize_t made = REAL(pwrite64)(fd, data, count, at);
    after(what);
    return made;
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at) { return piece(fd, data, count, at); }
ssize_t pwrite(int fd, const void *data, size_t count, off_t at) { return piece(fd, data, count, at); }

static int whole(int (*real)(int), int fd) {
    const char *what = fault();
    if (fails(what)) return -1;
    int made = real(fd);
    after(what);
    return made;
}

int fdatasync(int fd) { return whole(REAL(fdatasync), fd); }
int fsync(int fd) { return whole(REAL(fsync), fd); }

static int length(int (*real)(int, off64_t), int fd, off64_t size) {
    const char *what = fault();
    if (fails(what)) return -1;
    int made = real(fd, size);
    after(what);
    return made;
}

int ftruncate64(int fd, off64_t size) { return length(REAL(ftruncate64), fd, size); }
int ftruncate(int fd, off_t size) { return length(REAL(ftruncate64), fd, size); }
