/* Records what a process asks of the files in one folder, in order: preloaded by recording.py, read by disk.py.
 *
 * Each record: u8 kind, u64 number of the file (its inode), u64 offset or length, u32 length of what follows, bytes.
 * A change is made and recorded under one lock, so their order is the real one. A flush records its begin and its end:
 * what was recorded before the begin is durable at the end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE, FLUSH_BEGIN, FLUSH_END, CREATE, RENAME, UNLINK, LINK, FOLDER };

#define MOST 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int record_to = -1;
static char root[PATH_MAX];
static size_t root_length;
static unsigned char ours[MOST];

static void put(const void *data, size_t length) {
    const char *at = data;
    while (length) {
        ssize_t done = syscall(SYS_write, record_to, at, length);
        if (done < 0) abort();
        at += done;
        length -= (size_t)done;
    }
}

static void record(uint8_t kind, uint64_t file, uint64_t offset, const void *data, size_t length) {
    unsigned char head[21];
    uint32_t count = (uint32_t)length;
    head[0] = kind;
    memcpy(head + 1, &file, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &count, 4);
    put(head, sizeof head);
    put(data, length);
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("POWER_LOSS_FOLDER"), *to = getenv("POWER_LOSS_RECORD");
    if (!folder || !to || !realpath(folder, root)) return;
    root_length = strlen(root);
    record_to = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (record_to < 0) abort();
    /* Out of the way of whoever closes low descriptors. */
    int high = fcntl(record_to, F_DUPFD_CLOEXEC, 900);
    if (high >= 0) { syscall(SYS_close, record_to); record_to = high; }
}

static int inside(const char *path) {
    return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* The absolute path of a name whose folder exists. */
static int resolve(int folder, const char *name, char *out) {
    char joined[PATH_MAX], parent[PATH_MAX];
    if (name[0] == '/') {
        snprintf(joined, sizeof joined, "%s", name);
    } else if (folder == AT_FDCWD) {
        if (!getcwd(parent, sizeof parent)) return 0;
        snprintf(joined, sizeof joined, "%s/%s", parent, name);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t n = readlink(link, parent, sizeof parent - 1);
        if (n < 0) return 0;
        parent[n] = 0;
        snprintf(joined, sizeof joined, "%s/%s", parent, name);
    }
    char *slash = strrchr(joined, '/');
    if (!slash) return 0;
    *slash = 0;
    if (!realpath(*joined ? joined : "/", parent)) return 0;
    snprintf(out, PATH_MAX, "%s/%s", parent, slash + 1);
    return inside(out);
}

static uint64_t number_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : (uint64_t)found.st_ino;
}

static int watched(int fd) { return record_to >= 0 && fd >= 0 && fd < MOST && ours[fd]; }


static int opened(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat before;
    if (record_to < 0 || (flags & O_PATH) || !resolve(folder, name, path))
        return (int)syscall(SYS_openat, folder, name, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = !stat(path, &before);
    int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    int code = errno;
    if (fd >= 0 && fd < MOST) {
        ours[fd] = 1;
        /* A file without a name may have the number of one that was removed. */
        if ((flags & __O_TMPFILE) == __O_TMPFILE) record(CREATE, number_of(fd), 0, "", 0);
        else if (!existed && (flags & O_CREAT)) record(CREATE, number_of(fd), 0, path, strlen(path));
        else if (existed && (flags & O_TRUNC) && before.st_size) record(TRUNCATE, number_of(fd), 0, "", 0);
        struct stat found;
        if (!fstat(fd, &found) && S_ISDIR(found.st_mode)) record(FOLDER, number_of(fd), 0, path, strlen(path));
    }
    pthread_mutex_unlock(&lock);
    errno = code;
    return fd;
}

static mode_t mode_in(int flags, va_list more) {
    return flags & (O_CREAT | __O_TMPFILE) ? (mode_t)va_arg(more, int) : 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = mode_in(flags, more); va_end(more); \
        return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = mode_in(flags, more); va_end(more); \
        return opened(folder, path, flags | O_LARGEFILE, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    if (fd == record_to && fd >= 0) return 0;
    if (fd >= 0 && fd < MOST) ours[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

static ssize_t wrote_at(int fd, const void *data, size_t length, off_t at) {
    if (!watched(fd)) return syscall(SYS_pwrite64, fd, data, length, at);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_pwrite64, fd, data, length, at);
    int code = errno;
    if (done > 0) record(WRITE, number_of(fd), (uint64_t)at, data, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = code;
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return wrote_at(fd, data, length, at); }
ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) { return wrote_at(fd, data, length, at); }

ssize_t write(int fd, const void *data, size_t length) {
    if (!watched(fd)) return syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_write, fd, data, length);
    int code = errno;
    if (done > 0) record(WRITE, number_of(fd), (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), data, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = code;
    return done;
}

static ssize_t vector_at(int fd, const struct iovec *parts, int count, off_t at) {
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = at < 0 ? write(fd, parts[i].iov_base, parts[i].iov_len)
                              : wrote_at(fd, parts[i].iov_base, parts[i].iov_len, at + all);
        if (done < 0) return all ? all : done;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return watched(fd) ? vector_at(fd, parts, count, -1) : syscall(SYS_writev, fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return vector_at(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return vector_at(fd, parts, count, at); }
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    (void)flags;
    return vector_at(fd, parts, count, at);
}

static int cut(int fd, off_t length) {
    if (!watched(fd)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    int code = errno;
    if (!done) record(TRUNCATE, number_of(fd), (uint64_t)length, "", 0);
    pthread_mutex_unlock(&lock);
    errno = code;
    return done;
}
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off_t length) { return cut(fd, length); }

static int flush(int fd, long call) {
    if (!watched(fd)) return (int)syscall(call, fd);
    uint64_t thread = (uint64_t)syscall(SYS_gettid);
    pthread_mutex_lock(&lock);
    record(FLUSH_BEGIN, number_of(fd), thread, "", 0);
    pthread_mutex_unlock(&lock);
    int done = (int)syscall(call, fd);
    int code = errno;
    if (!done) {
        pthread_mutex_lock(&lock);
        record(FLUSH_END, number_of(fd), thread, "", 0);
        pthread_mutex_unlock(&lock);
    }
    errno = code;
    return done;
}
int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX], both[2 * PATH_MAX];
    int known = record_to >= 0 && resolve(from_folder, from, old) && resolve(to_folder, to, new);
    if (known) pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    int code = errno;
    if (known) {
        if (!done) {
            int length = snprintf(both, sizeof both, "%s%c%s", old, 0, new);
            record(RENAME, 0, 0, both, (size_t)length);
        }
        pthread_mutex_unlock(&lock);
    }
    errno = code;
    return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

static int linked(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char new[PATH_MAX];
    struct stat found;
    int known = record_to >= 0 && resolve(to_folder, to, new);
    if (known) pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    int code = errno;
    if (known) {
        if (!done && !lstat(new, &found)) record(LINK, (uint64_t)found.st_ino, 0, new, strlen(new));
        pthread_mutex_unlock(&lock);
    }
    errno = code;
    return done;
}
int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return linked(a, from, b, to, flags); }

static int unlinked(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    int known = record_to >= 0 && resolve(folder, name, path);
    if (known) pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_unlinkat, folder, name, flags);
    int code = errno;
    if (known) {
        if (!done) record(UNLINK, 0, 0, path, strlen(path));
        pthread_mutex_unlock(&lock);
    }
    errno = code;
    return done;
}
int unlink(const char *name) { return unlinked(AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags) { return unlinked(folder, name, flags); }
int remove(const char *name) { return unlinked(AT_FDCWD, name, 0); }
