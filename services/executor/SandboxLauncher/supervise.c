// The parent of one run: makes its cgroups, forks the child, waits for the end, the deadline or an order, collects everything, and
// writes one status line of KEY=VALUE words.

#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { status_descriptor = 5, control_descriptor = 6, memory_look_milliseconds = 50, most_temporary_files = 65536 };

struct run {
    pid_t child;
    bool ended;
    int status;
    const char *killed;
    /// Whether the child was born in its groups: if not, it moved there.
    bool born;
    uint64_t cpu_microseconds;
    uint64_t resident_peak_bytes;
    bool out_of_memory;
    /// When the run began, on the monotonic clock; for a command that waits, when it was started.
    uint64_t started;
    /// Whether it still waits for its run to begin.
    bool waits;
    bool idle;
    /// Whether what an idle command lacks was given back so that it dies quickly.
    bool hurried;
};

static uint64_t monotonic_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void say(const char *text) {
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t written = write(status_descriptor, text, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        text += written;
        length -= (size_t)written;
    }
}

static int refuse(struct options *options, const char *step) {
    char line[1024];
    cgroup_remove(options);
    snprintf(line, sizeof line, "error=%s\n", step);
    say(line);
    return 1;
}

/// The children of a process, as the kernel lists them; 0 when it has none or is gone.
static int children_of(pid_t parent, pid_t *found, int capacity) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    int count = 0;
    while (count < capacity && fscanf(file, "%d", &found[count]) == 1) count++;
    fclose(file);
    return count;
}

/// Asks the command itself to end: it is the grandchild, below bwrap and the first process of the namespace.
static void terminate(const struct run *run) {
    pid_t first[16], commands[64];
    int count = children_of(run->child, first, 16);
    for (int i = 0; i < count; i++) {
        int below = children_of(first[i], commands, 64);
        for (int k = 0; k < below; k++) kill(commands[k], SIGTERM);
    }
}

static void kill_everything(const struct options *options, struct run *run, const char *why) {
    if (!run->killed && !run->ended) run->killed = why;
    // With a hundredth of a processor it would take seconds to die.
    if (run->waits && !run->hurried) {
        run->hurried = true;
        cgroup_hurry(options);
    }
    if (!run->ended) kill(run->child, SIGKILL);
    cgroup_kill(options);
    pid_t adopted[256];
    int count = children_of(getpid(), adopted, 256);
    for (int i = 0; i < count; i++) kill(adopted[i], SIGKILL);
}

/// Collects every child that has ended; false when none is left at all.
static bool collect(struct run *run) {
    for (;;) {
        int status = 0;
        struct rusage used;
        pid_t pid = wait4(-1, &status, WNOHANG | __WALL, &used);
        if (pid == 0) return true;
        if (pid < 0) return errno != ECHILD;
        run->cpu_microseconds += (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000
            + (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
        uint64_t resident = (uint64_t)used.ru_maxrss * 1024;
        if (resident > run->resident_peak_bytes) run->resident_peak_bytes = resident;
        if (pid == run->child) {
            run->ended = true;
            run->status = status;
        }
    }
}

/// The first process inside: bwrap's child, whose root is the run's; 0 when there is none.
static pid_t process_inside(const struct run *run) {
    pid_t first[16];
    return children_of(run->child, first, 16) > 0 ? first[0] : 0;
}

/// Looks at the memory of a run that no cgroup counts, and at its files without bytes; true when it is over a bound.
static bool is_too_large(const struct options *options, struct run *run) {
    uint64_t bytes = memory_of_tree(run->child);
    if (bytes > run->resident_peak_bytes) run->resident_peak_bytes = bytes;
    uint64_t bound = options->memory_bytes;
    if (run->waits && options->waiting_memory_bytes && options->waiting_memory_bytes < bound) bound = options->waiting_memory_bytes;
    if (bytes > bound) return true;
    pid_t inside = process_inside(run);
    return inside > 0 && files_in_temporary_folders(inside) > most_temporary_files;
}

static uint64_t deadline_of(const struct options *options, const struct run *run) {
    uint64_t milliseconds = run->waits ? options->waiting_milliseconds : options->wall_milliseconds;
    return milliseconds ? run->started + milliseconds * 1000 : 0;
}

/// The command has nothing to do before its run begins.
static void be_idle(const struct options *options, struct run *run) {
    if (!run->waits || run->idle || run->ended || run->killed) return;
    uint64_t bytes = cgroup_idle(options);
    if (!bytes) bytes = memory_of_tree(run->child);
    run->idle = true;
    char line[64];
    snprintf(line, sizeof line, "idle memory_bytes=%llu\n", (unsigned long long)bytes);
    say(line);
}

/// The run begins: from here on it has its limits, and the time that comes with the order, in milliseconds.
static void begin(struct options *options, struct run *run) {
    uint64_t milliseconds = 0;
    if (read(control_descriptor, &milliseconds, sizeof milliseconds) != sizeof milliseconds || !run->waits) return;
    // What ended while it waited has no run, and says so by not saying "begun".
    if (run->ended || run->killed) return;
    options->wall_milliseconds = milliseconds;
    cgroup_wake(options, run->idle);
    // Whoever was killed for memory so far was killed at the limit of waiting: that is no run's fault, and what is left of it no run's start.
    if (cgroup_has_killed(options)) {
        kill_everything(options, run, "spoiled");
        return;
    }
    run->waits = false;
    run->started = monotonic_microseconds();
    say("begun\n");
}

static void watch(struct options *options, struct run *run, int signals) {
    bool looks = options->cgroup_count == 0 && options->memory_bytes > 0;
    uint64_t grace = 0;
    struct pollfd watched[2] = {{.fd = signals, .events = POLLIN}, {.fd = control_descriptor, .events = POLLIN}};
    while (collect(run)) {
        uint64_t now = monotonic_microseconds();
        uint64_t deadline = deadline_of(options, run);
        int timeout = -1;
        if (run->ended) {
            // The namespace dies with its first process; what lives on after a moment is killed again, and forever.
            if (grace == 0) grace = now + 100000;
            if (now >= grace) {
                kill_everything(options, run, "leftover");
                grace = now + 20000;
            }
            timeout = (int)((grace - now) / 1000) + 1;
        } else if (run->killed) {
            kill_everything(options, run, run->killed);
            timeout = 20;
        } else if (deadline) {
            if (now >= deadline) {
                kill_everything(options, run, run->waits ? "expired" : "deadline");
                continue;
            }
            timeout = (int)((deadline - now) / 1000) + 1;
        }
        if (looks && !run->ended && !run->killed) {
            if (is_too_large(options, run)) {
                run->out_of_memory = true;
                kill_everything(options, run, "memory");
                continue;
            }
            // A hundred that wait must not cost a processor in looks.
            int pause = run->waits && run->idle ? 20 * memory_look_milliseconds : memory_look_milliseconds;
            if (timeout < 0 || timeout > pause) timeout = pause;
        }
        if (poll(watched, watched[1].fd < 0 ? 1 : 2, timeout) <= 0) continue;
        if (watched[0].revents) {
            struct signalfd_siginfo info;
            while (read(signals, &info, sizeof info) == sizeof info)
                if (info.ssi_signo != SIGCHLD) kill_everything(options, run, "signal");
        }
        if (watched[1].fd >= 0 && watched[1].revents) {
            char order = 'K';
            ssize_t length = read(control_descriptor, &order, 1);
            if (length == 1 && order == 'T') {
                terminate(run);
            } else if (length == 1 && order == 'I') {
                be_idle(options, run);
            } else if (length == 1 && order == 'S') {
                begin(options, run);
            } else {
                watched[1].fd = -1;
                kill_everything(options, run, length == 1 ? "order" : "orphaned");
            }
        }
    }
}

static void report(const struct options *options, const struct run *run) {
    struct usage usage = cgroup_usage(options);
    uint64_t peak = usage.memory_peak_bytes ? usage.memory_peak_bytes : run->resident_peak_bytes;
    char line[512];
    snprintf(
        line, sizeof line,
        "exit=%d signal=%d killed=%s wall_microseconds=%llu cpu_microseconds=%llu memory_peak_bytes=%llu out_of_memory_kills=%llu "
        "process_limit_hits=%llu born=%d\n",
        WIFEXITED(run->status) ? WEXITSTATUS(run->status) : -1, WIFSIGNALED(run->status) ? WTERMSIG(run->status) : 0,
        run->killed ? run->killed : "no", (unsigned long long)(monotonic_microseconds() - run->started),
        (unsigned long long)run->cpu_microseconds, (unsigned long long)peak,
        (unsigned long long)(usage.out_of_memory_kills + (run->out_of_memory ? 1 : 0)),
        (unsigned long long)usage.process_limit_hits, run->born);
    say(line);
}

int supervise(struct options *options) {
    char message[1024] = "";
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    fcntl(status_descriptor, F_SETFD, FD_CLOEXEC);
    fcntl(control_descriptor, F_SETFD, FD_CLOEXEC);

    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGCHLD);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGHUP);
    sigprocmask(SIG_BLOCK, &handled, NULL);
    int signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    int errors[2];
    if (signals < 0 || pipe2(errors, O_CLOEXEC) != 0) return refuse(options, "descriptors");
    if (!cgroup_make(options, message, sizeof message)) return refuse(options, message);

    struct run run = {.started = monotonic_microseconds(), .waits = options->waiting_milliseconds > 0};
    run.child = cgroup_fork(options, &run.born);
    if (run.child < 0) return refuse(options, "fork");
    if (run.child == 0) {
        signal(SIGPIPE, SIG_DFL);
        close(errors[0]);
        child_run(options, run.born, errors[1]);
    }
    // The ends of the run's pipes must close with the run: the supervisor keeps none of them.
    close(errors[1]);
    syscall(SYS_close_range, 0, 4, 0);
    // The pipe ends at the exec, or brings the step that failed before it.
    ssize_t length = read(errors[0], message, sizeof message - 1);
    close(errors[0]);
    if (length > 0) {
        message[length] = 0;
        while (waitpid(run.child, NULL, 0) < 0 && errno == EINTR) {}
        return refuse(options, message);
    }
    watch(options, &run, signals);
    report(options, &run);
    // The answer first, the sweeping after: nobody has to wait for a folder that is removed a moment later.
    close(status_descriptor);
    cgroup_remove(options);
    return 0;
}
