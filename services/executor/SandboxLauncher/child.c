// The process that becomes bwrap. The order of the steps is the point: groups while still privileged, limits before the user changes,
// the other user before anything of his can run, and the parent's-death signal last because a change of user clears it.

#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// A stranger's loop and a subscriber's pull may share a core: the pull goes first, the loop still gets a quarter.
enum { arguments_descriptor = 8, filter_at = 9, lowest_private = 20, politeness = 5 };

static int error_pipe = -1;

static _Noreturn void fail(const char *step) {
    char text[512];
    int length = snprintf(text, sizeof text, "%s: %s", step, strerror(errno));
    if (write(error_pipe, text, (size_t)length) < 0) {}
    _exit(125);
}

static void limit(int resource, uint64_t soft, uint64_t hard) {
    struct rlimit current;
    if (getrlimit(resource, &current) != 0) fail("getrlimit");
    // A limit may only be lowered: without CAP_SYS_RESOURCE raising the hard one is refused, and a lower one is as good.
    if (current.rlim_max != RLIM_INFINITY && hard > current.rlim_max) hard = current.rlim_max;
    if (soft > hard) soft = hard;
    struct rlimit wanted = {.rlim_cur = soft, .rlim_max = hard};
    if (setrlimit(resource, &wanted) != 0) fail("setrlimit");
}

static void set_limits(const struct options *options) {
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_MEMLOCK, 0, 0);
    if (options->cpu_seconds) limit(RLIMIT_CPU, options->cpu_seconds, options->cpu_seconds + 1);
    if (options->file_bytes) limit(RLIMIT_FSIZE, options->file_bytes, options->file_bytes);
    if (options->open_files) limit(RLIMIT_NOFILE, options->open_files, options->open_files);
    if (options->address_space_bytes) limit(RLIMIT_AS, options->address_space_bytes, options->address_space_bytes);
}

static void be_first_to_die(void) {
    int descriptor = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) return;
    if (write(descriptor, "1000", 4) < 0) {}
    close(descriptor);
}

static void become(uid_t uid) {
    if (uid == 0) return;
    if (setgroups(0, NULL) != 0) fail("setgroups");
    if (setresgid(uid, uid, uid) != 0) fail("setresgid");
    if (setresuid(uid, uid, uid) != 0) fail("setresuid");
}

/// Adds all that is at another descriptor. It is read without a place of its own: runs that start at once may share it.
static void append(int target, int source, const char *what) {
    char chunk[4096];
    off_t offset = 0;
    ssize_t length;
    while ((length = pread(source, chunk, sizeof chunk, offset)) != 0) {
        if (length < 0 && errno == EINTR) continue;
        if (length < 0 || write(target, chunk, (size_t)length) != length) fail(what);
        offset += length;
    }
}

/// bwrap's arguments go through a file: /proc/1/cmdline is readable inside the sandbox, and they hold paths of the host.
static int arguments_file(const struct options *options) {
    int descriptor = memfd_create("auspex-arguments", MFD_CLOEXEC);
    if (descriptor < 0) fail("memfd_create");
    struct iovec parts[64];
    for (int i = 0; i < options->bwrap_argument_count;) {
        int count = 0;
        ssize_t length = 0;
        for (; count < 64 && i < options->bwrap_argument_count; count++, i++) {
            parts[count] = (struct iovec){.iov_base = options->bwrap_arguments[i], .iov_len = strlen(options->bwrap_arguments[i]) + 1};
            length += (ssize_t)parts[count].iov_len;
        }
        if (writev(descriptor, parts, count) != length) fail("arguments");
    }
    // The environment comes by a descriptor of the executor's: it may hold passwords, and our own command line is no place for them.
    if (options->environment_descriptor >= 0) append(descriptor, options->environment_descriptor, "environment");
    char seccomp[] = "--seccomp\0009";
    if (write(descriptor, seccomp, sizeof seccomp) != (ssize_t)sizeof seccomp) fail("arguments");
    if (lseek(descriptor, 0, SEEK_SET) != 0) fail("lseek");
    return descriptor;
}

/// A memory file that holds the compiled system call filter, read from its start by bwrap.
static int filter_file(const struct options *options) {
    int descriptor = memfd_create("auspex-filter", MFD_CLOEXEC);
    if (descriptor < 0) fail("memfd_create");
    if (options->filter_descriptor >= 0) append(descriptor, options->filter_descriptor, "seccomp filter");
    else if (!filter_write(descriptor)) fail("seccomp filter");
    // bwrap takes an empty filter for none that refuses anything.
    if (lseek(descriptor, 0, SEEK_CUR) <= 0) fail("empty seccomp filter");
    if (lseek(descriptor, 0, SEEK_SET) != 0) fail("lseek");
    return descriptor;
}

/// Moves a descriptor out of the way of the fixed numbers, closed on exec.
static int aside(int descriptor) {
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, lowest_private);
    if (moved < 0) fail("dup");
    close(descriptor);
    return moved;
}

_Noreturn void child_run(const struct options *options, bool joined, int error_descriptor) {
    error_pipe = error_descriptor;
    error_pipe = aside(error_descriptor);
    char message[512];
    if (!joined && !cgroup_join(options, message, sizeof message)) {
        if (write(error_pipe, message, strlen(message)) < 0) {}
        _exit(125);
    }
    be_first_to_die();
    if (getpriority(PRIO_PROCESS, 0) < politeness && setpriority(PRIO_PROCESS, 0, politeness) != 0) fail("setpriority");
    const char *failed = root_make(options);
    if (failed) fail(failed);

    int arguments = aside(arguments_file(options));
    int filter = aside(filter_file(options));
    if (dup2(arguments, arguments_descriptor) < 0 || dup2(filter, filter_at) < 0) fail("dup2");
    // Kept: 0-4 (input, output, errors, results, frame), 8 and 9 for bwrap, which closes them, and the error pipe until the exec.
    syscall(SYS_close_range, 5, 7, 0);
    syscall(SYS_close_range, 10, error_pipe - 1, 0);
    syscall(SYS_close_range, error_pipe + 1, ~0U, 0);

    set_limits(options);
    become(options->uid);
    umask(077);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("prctl parent death");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("prctl no new privileges");
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    int count = 0;
    while (options->command[count]) count++;
    char **values = calloc((size_t)count + 5, sizeof *values);
    if (!values) fail("calloc");
    values[0] = "bwrap";
    values[1] = "--args";
    values[2] = "8";
    values[3] = "--";
    memcpy(values + 4, options->command, (size_t)count * sizeof *values);
    char *environment[] = {"PATH=/usr/bin", NULL};
    execve("/usr/bin/bwrap", values, environment);
    fail("/usr/bin/bwrap");
}
