/* Stands between a program and its disk: fails, shortens or kills at one chosen call.
 *
 * Preloaded into a process (LD_PRELOAD), it looks at the calls that change files below FAULT_DIR.
 * FAULT says at which of them what happens: "<call> <pattern> <k> <act>".
 *
 *   call     write (write, pwrite, writev), sync (fsync, fdatasync), rename, create (open with
 *            O_CREAT), truncate, remove
 *   pattern  of the path below FAULT_DIR, as fnmatch(3) has it; of a rename, the new name
 *   k        the k-th such call of the process, from 1; "k+": this and every later one
 *   act      EIO, ENOSPC: the call does nothing and fails
 *            short: half of the bytes are written, and that is what the caller is told
 *            skip: the call does nothing and says that it went well (not for writes)
 *            kill-before, kill-after: SIGKILL before or after the call
 *            kill-half: half of the bytes are written, then SIGKILL
 *
 * Who is killed takes the process with it that was started with the shim, if it is another: as when
 * a machine stops, or all of a service is killed.
 *
 * FAULT_TRACE names a file to which a line "<call> <path>" is appended for each such call. Each
 * process counts for itself; nothing is changed in the program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum act { NOTHING, FAIL, SKIP, SHORT, KILL_BEFORE, KILL_HALF, KILL_AFTER };

static char directory[PATH_MAX], call_name[16], pattern[256], trace[PATH_MAX];
static int directory_length, error_number;
static long k_first, k_last, leader;
static enum act chosen;
static atomic_long seen;

__attribute__((constructor)) static void read_environment(void) {
    const char *dir = getenv("FAULT_DIR"), *fault = getenv("FAULT"), *to = getenv("FAULT_TRACE");
    char k[32] = "", act[32] = "";
    if (dir) directory_length = snprintf(directory, sizeof directory, "%s/", dir);
    if (to) snprintf(trace, sizeof trace, "%s", to);
    if (!getenv("FAULT_LEADER")) {
        char pid[32];
        snprintf(pid, sizeof pid, "%d", getpid());
        setenv("FAULT_LEADER", pid, 1);
    }
    leader = atol(getenv("FAULT_LEADER"));
    if (!fault) return;
    if (sscanf(fault, "%15s %255s %31s %31s", call_name, pattern, k, act) != 4) abort();
    k_first = k_last = atol(k);
    if (strchr(k, '+')) k_last = LONG_MAX;
    if (!strcmp(act, "EIO")) chosen = FAIL, error_number = EIO;
    else if (!strcmp(act, "ENOSPC")) chosen = FAIL, error_number = ENOSPC;
    else if (!strcmp(act, "skip")) chosen = SKIP;
    else if (!strcmp(act, "short")) chosen = SHORT;
    else if (!strcmp(act, "kill-before")) chosen = KILL_BEFORE;
    else if (!strcmp(act, "kill-half")) chosen = KILL_HALF;
    else if (!strcmp(act, "kill-after")) chosen = KILL_AFTER;
    else abort();
}

static void die(void) {
    if (leader != getpid()) syscall(SYS_kill, leader, SIGKILL);
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* What happens at this call on this path, absolute. */
static enum act at(const char *call, const char *path) {
    if (!directory_length || strncmp(path, directory, directory_length)) return NOTHING;
    path += directory_length;
    if (*trace) {
        char line[PATH_MAX + 32];
        int length = snprintf(line, sizeof line, "%s %s\n", call, path);
        int fd = syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_APPEND | O_CREAT, 0644);
        syscall(SYS_write, fd, line, length);
        syscall(SYS_close, fd);
    }
    if (chosen == NOTHING || strcmp(call, call_name) || fnmatch(pattern, path, 0)) return NOTHING;
    long k = atomic_fetch_add(&seen, 1) + 1;
    if (k < k_first || k > k_last) return NOTHING;
    if (chosen == KILL_BEFORE) die();
    return chosen;
}

static enum act at_file(const char *call, int fd) {
    if (!directory_length) return NOTHING;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int error = errno;
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = error;
    if (length < 0) return NOTHING;
    path[length] = 0;
    return at(call, path);
}

static long done(enum act act, long result) {
    if (act == KILL_AFTER || act == KILL_HALF) die();
    return result;
}

/* What the caller is told of a call that is not made. */
static long not_made(enum act act) {
    if (act == SKIP) return 0;
    errno = error_number;
    return -1;
}

static int is_made(enum act act) {
    return act != FAIL && act != SKIP;
}

/* Half of the bytes, but at least one: no bytes at all would be another error. */
static size_t part(enum act act, size_t count) {
    return (act == SHORT || act == KILL_HALF) && count > 1 ? count / 2 : count;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    enum act act = at_file("write", fd);
    if (!is_made(act)) return not_made(act);
    return done(act, syscall(SYS_write, fd, bytes, part(act, count)));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    enum act act = at_file("write", fd);
    if (!is_made(act)) return not_made(act);
    return done(act, syscall(SYS_pwrite64, fd, bytes, part(act, count), offset));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    enum act act = at_file("write", fd);
    if (!is_made(act)) return not_made(act);
    return done(act, syscall(SYS_writev, fd, pieces, (int)part(act, count)));
}

int fsync(int fd) {
    enum act act = at_file("sync", fd);
    return is_made(act) ? done(act, syscall(SYS_fsync, fd)) : not_made(act);
}

int fdatasync(int fd) {
    enum act act = at_file("sync", fd);
    return is_made(act) ? done(act, syscall(SYS_fdatasync, fd)) : not_made(act);
}

int rename(const char *from, const char *to) {
    enum act act = at("rename", to);
    return is_made(act) ? done(act, syscall(SYS_rename, from, to)) : not_made(act);
}

int ftruncate64(int fd, off_t length) {
    enum act act = at_file("truncate", fd);
    return is_made(act) ? done(act, syscall(SYS_ftruncate, fd, length)) : not_made(act);
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

int unlink(const char *path) {
    enum act act = at("remove", path);
    return is_made(act) ? done(act, syscall(SYS_unlink, path)) : not_made(act);
}

static int open_at(int parent, const char *path, int flags, mode_t mode) {
    enum act act = flags & O_CREAT ? at("create", path) : NOTHING;
    if (!is_made(act)) return not_made(act);
    return done(act, syscall(SYS_openat, parent, path, flags, mode));
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                            \
    int name(const char *path, int flags, ...) {              \
        va_list arguments;                                    \
        va_start(arguments, flags);                           \
        mode_t mode = mode_of(flags, arguments);              \
        va_end(arguments);                                    \
        return open_at(AT_FDCWD, path, flags, mode);          \
    }

#define OPENAT(name)                                          \
    int name(int parent, const char *path, int flags, ...) {  \
        va_list arguments;                                    \
        va_start(arguments, flags);                           \
        mode_t mode = mode_of(flags, arguments);              \
        va_end(arguments);                                    \
        return open_at(parent, path, flags, mode);            \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
