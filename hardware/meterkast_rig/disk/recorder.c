/* Records what a process does to the files of one folder, and lets any of it fail; see recorder.py.
 *
 * Loaded with LD_PRELOAD, so the program under test is the one that ships, with the system's own SQLite.
 * Every change of a file goes into the trace before the call returns, in the order in which it was made.
 * Not seen: writes through a memory map. SQLite maps only its -shm file, which holds nothing lasting.
 *
 * A record is a line of text, followed by its data where it says how many bytes there are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NONE, IO_ERROR, NO_SPACE, SHORT_WRITE, LOST_FLUSH };
enum { READ, WRITE, RESIZE, FLUSH, OPEN, NAME };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static size_t folder_length;
static int trace = -1;
static char ours[65536];
static int kind = NONE, countdown, fired, lasting, half;

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}
#define REAL(type, name, ...) \
    static type (*call)(__VA_ARGS__); \
    if (!call) call = (type(*)(__VA_ARGS__))real(#name)

static ssize_t plain_write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    return call(fd, data, size);
}

__attribute__((constructor)) static void begin(void) {
    REAL(int, open64, const char *, int, ...);
    folder = getenv("METERKAST_DISK_FOLDER");
    const char *path = getenv("METERKAST_DISK_TRACE");
    if (!folder || !path) return;
    folder_length = strlen(folder);
    trace = call(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0) abort();
}

static int inside(const char *path) {
    return trace >= 0 && path && !strncmp(path, folder, folder_length) &&
           (path[folder_length] == '/' || !path[folder_length]);
}

static int is_ours(int fd) { return trace >= 0 && fd >= 0 && fd < (int)sizeof ours && ours[fd]; }

static void put(const void *data, size_t size) {
    while (size) {
        ssize_t done = plain_write(trace, data, size);
        if (done <= 0) abort();
        data = (const char *)data + done;
        size -= (size_t)done;
    }
}

static void record(const void *data, size_t size, const char *format, ...) {
    if (trace < 0) return;
    char line[8192];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (length >= (int)sizeof line) abort();
    put(line, (size_t)length);
    if (size) put(data, size);
}

/* The error this operation has to fail with; 0 for none. */
static int failing(int operation) {
    if (half && operation == WRITE) { /* what follows a short write finds no room */
        half = 0;
        return ENOSPC;
    }
    if (kind == NONE) return 0;
    if (kind == NO_SPACE && operation != WRITE && operation != RESIZE && operation != OPEN) return 0;
    if (kind == SHORT_WRITE && operation != WRITE) return 0;
    if (kind == LOST_FLUSH && operation != FLUSH) return 0;
    if (--countdown > 0) return 0;
    fired++;
    int error = kind == NO_SPACE ? ENOSPC : EIO;
    if (kind == SHORT_WRITE) error = -1;
    if (!lasting) kind = NONE;
    return error;
}

/* --- what the test calls by ctypes ----------------------------------------------------------------- */

void disk_mark(const char *text) {
    pthread_mutex_lock(&mutex);
    record(NULL, 0, "M %s\n", text);
    pthread_mutex_unlock(&mutex);
}

void disk_fail(int what, int nth, int until_lifted) {
    pthread_mutex_lock(&mutex);
    kind = what, countdown = nth, lasting = until_lifted, fired = 0, half = 0;
    pthread_mutex_unlock(&mutex);
}

int disk_failed(void) { return fired; }

/* --- what the program calls ------------------------------------------------------------------------ */

static int opened(const char *path, int flags, mode_t mode) {
    REAL(int, open64, const char *, int, ...);
    if (!inside(path)) return call(path, flags, mode);
    pthread_mutex_lock(&mutex);
    struct stat64 state;
    int existed = !stat64(path, &state);
    int error = failing(OPEN), fd = -1;
    if (error) errno = error;
    else fd = call(path, flags, mode);
    if (fd >= 0) {
        if (fd >= (int)sizeof ours) abort();
        ours[fd] = 1;
        record(NULL, 0, "O %d %d %d %s\n", fd, existed, (flags & O_TRUNC) != 0, path);
    }
    error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list values) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(values, mode_t) : 0;
}
#define OPENED(name) \
    int name(const char *path, int flags, ...) { \
        va_list values; \
        va_start(values, flags); \
        mode_t mode = mode_of(flags, values); \
        va_end(values); \
        return opened(path, flags, mode); \
    }
OPENED(open)
OPENED(open64)

#define OPENED_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        va_list values; \
        va_start(values, flags); \
        mode_t mode = mode_of(flags, values); \
        va_end(values); \
        return inside(path) ? opened(path, flags, mode) : call(at, path, flags, mode); \
    }
OPENED_AT(openat)
OPENED_AT(openat64)

int close(int fd) {
    REAL(int, close, int);
    if (!is_ours(fd)) return call(fd);
    pthread_mutex_lock(&mutex);
    ours[fd] = 0;
    record(NULL, 0, "C %d\n", fd);
    int result = call(fd);
    pthread_mutex_unlock(&mutex);
    return result;
}

static ssize_t written(int fd, const void *data, size_t size, off64_t offset, int positioned) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    pthread_mutex_lock(&mutex);
    int error = failing(WRITE);
    if (error > 0) {
        pthread_mutex_unlock(&mutex);
        errno = error;
        return -1;
    }
    if (error && size > 1) size /= 2, half = 1;
    off64_t place = offset;
    if (!positioned) {
        struct stat64 state;
        place = fcntl(fd, F_GETFL) & O_APPEND && !fstat64(fd, &state) ? state.st_size : lseek64(fd, 0, SEEK_CUR);
    }
    ssize_t done = positioned ? call(fd, data, size, offset) : plain_write(fd, data, size);
    error = errno;
    if (done > 0) record(data, (size_t)done, "W %d %lld %zd\n", fd, (long long)place, done);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    return is_ours(fd) ? written(fd, data, size, 0, 0) : plain_write(fd, data, size);
}

#define WRITTEN(name, offset_type) \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset) { \
        REAL(ssize_t, name, int, const void *, size_t, offset_type); \
        return is_ours(fd) ? written(fd, data, size, offset, 1) : call(fd, data, size, offset); \
    }
WRITTEN(pwrite, off_t)
WRITTEN(pwrite64, off64_t)

static int read_fails(int fd) {
    if (!is_ours(fd)) return 0;
    pthread_mutex_lock(&mutex);
    int error = failing(READ);
    pthread_mutex_unlock(&mutex);
    if (error) errno = error;
    return error;
}

ssize_t read(int fd, void *data, size_t size) {
    REAL(ssize_t, read, int, void *, size_t);
    return read_fails(fd) ? -1 : call(fd, data, size);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset) {
    REAL(ssize_t, pread64, int, void *, size_t, off64_t);
    return read_fails(fd) ? -1 : call(fd, data, size, offset);
}

#define RESIZED(name, size_type) \
    int name(int fd, size_type size) { \
        REAL(int, name, int, size_type); \
        if (!is_ours(fd)) return call(fd, size); \
        pthread_mutex_lock(&mutex); \
        int error = failing(RESIZE), result = -1; \
        if (error) errno = error; \
        else if (!(result = call(fd, size))) record(NULL, 0, "T %d %lld\n", fd, (long long)size); \
        error = errno; \
        pthread_mutex_unlock(&mutex); \
        errno = error; \
        return result; \
    }
RESIZED(ftruncate, off_t)
RESIZED(ftruncate64, off64_t)

int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    REAL(int, posix_fallocate64, int, off64_t, off64_t);
    if (!is_ours(fd)) return call(fd, offset, size);
    pthread_mutex_lock(&mutex);
    struct stat64 state;
    int result = failing(RESIZE);
    if (!result && !(result = call(fd, offset, size)) && !fstat64(fd, &state))
        record(NULL, 0, "T %d %lld\n", fd, (long long)state.st_size);
    pthread_mutex_unlock(&mutex);
    return result;
}

#define FLUSHED(name) \
    int name(int fd) { \
        REAL(int, name, int); \
        if (!is_ours(fd)) return call(fd); \
        pthread_mutex_lock(&mutex); \
        int error = failing(FLUSH); \
        record(NULL, 0, "%c %d\n", error ? 'Z' : 'S', fd); \
        int result = error ? -1 : call(fd); \
        if (error) errno = error; \
        pthread_mutex_unlock(&mutex); \
        return result; \
    }
FLUSHED(fsync)
FLUSHED(fdatasync)

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (!inside(from) && !inside(to)) return call(from, to);
    pthread_mutex_lock(&mutex);
    int error = failing(NAME), result = -1;
    if (error) errno = error;
    else if (!(result = call(from, to))) record(NULL, 0, "R %s\t%s\n", from, to);
    error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (!inside(path)) return call(path);
    pthread_mutex_lock(&mutex);
    int error = failing(NAME), result = -1;
    if (error) errno = error;
    else if (!(result = call(path))) record(NULL, 0, "U %s\n", path);
    error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    if (!inside(path)) return call(path, mode);
    pthread_mutex_lock(&mutex);
    int error = failing(NAME), result = -1;
    if (error) errno = error;
    else if (!(result = call(path, mode))) record(NULL, 0, "D %s\n", path);
    error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}
