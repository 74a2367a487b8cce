/* Lets the n-th write, flush or rename in a folder fail, and those after it: preloaded by processes.py.
 *
 * Who wants a fault calls fault_arm(). Calls count from when a file is there, or at once. A write that meets a full disk is cut short first, where it has more than one
 * byte, as file systems do it; the next one fails. Each failure adds a byte to a file, so that it is known.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, FLUSH, RENAME };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], hits[PATH_MAX], waited_for[PATH_MAX];
static size_t root_length;
static int armed_call, code, times;
static long left;

void fault_arm(const char *folder, int call, long number, int error, int how_often, const char *told,
               const char *from) {
    if (!realpath(folder, root)) abort();
    snprintf(hits, sizeof hits, "%s", told);
    snprintf(waited_for, sizeof waited_for, "%s", from);
    root_length = strlen(root);
    left = number;
    code = error;
    times = how_often;
    armed_call = call;
}

static int inside(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int is_ours(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return inside(path);
}

/* Whether a call is due to fail. */
static int due(int call) {
    int found = 0;
    pthread_mutex_lock(&lock);
    int counts = !waited_for[0] || !access(waited_for, F_OK);
    if (counts) waited_for[0] = 0;
    if (counts && left > 0) left--;
    if (counts && !left && times > 0) {
        times--;
        found = 1;
        int to = (int)syscall(SYS_openat, AT_FDCWD, hits, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (to >= 0) {
            syscall(SYS_write, to, call == WRITE ? "w" : call == FLUSH ? "f" : "r", 1);
            syscall(SYS_close, to);
        }
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* How many bytes may be written: -1 for an error. */
static ssize_t allowed(int fd, size_t length) {
    static int cut;
    if (armed_call != WRITE || !length || !is_ours(fd) || !due(WRITE)) return (ssize_t)length;
    if (code == ENOSPC && length > 1 && !cut) {
        cut = 1;
        return (ssize_t)(length / 2);
    }
    errno = code;
    return -1;
}

ssize_t write(int fd, const void *data, size_t length) {
    ssize_t some = allowed(fd, length);
    return some < 0 ? some : syscall(SYS_write, fd, data, (size_t)some);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
    ssize_t some = allowed(fd, length);
    return some < 0 ? some : syscall(SYS_pwrite64, fd, data, (size_t)some, at);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) { return pwrite(fd, data, length, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (armed_call != WRITE || !is_ours(fd)) return syscall(SYS_writev, fd, parts, count);
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (done < 0) return all ? all : done;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    if (armed_call != WRITE || !is_ours(fd)) return syscall(SYS_pwritev, fd, parts, count, at, at >> 32);
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = pwrite(fd, parts[i].iov_base, parts[i].iov_len, at + all);
        if (done < 0) return all ? all : done;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return pwritev(fd, parts, count, at); }

static int flushed(int fd, long call) {
    if (armed_call == FLUSH && is_ours(fd) && due(FLUSH)) {
        errno = code;
        return -1;
    }
    return (int)syscall(call, fd);
}
int fsync(int fd) { return flushed(fd, SYS_fsync); }
int fdatasync(int fd) { return flushed(fd, SYS_fdatasync); }

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char parent[PATH_MAX], copy[PATH_MAX];
    if (armed_call == RENAME && to_folder == AT_FDCWD) {
        snprintf(copy, sizeof copy, "%s", to);
        char *slash = strrchr(copy, '/');
        if (slash) *slash = 0;
        if (realpath(slash ? (slash == copy ? "/" : copy) : ".", parent) && inside(parent) && due(RENAME)) {
            errno = code;
            return -1;
        }
    }
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }
