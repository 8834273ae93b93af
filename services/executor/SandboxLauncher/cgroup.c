// Limits that the kernel counts for the whole run, under either generation of cgroups.
//
// v1: one folder per controller, kills are found by oom_control, and a kill of everything means killing each listed process until
// the list stays empty. v2: one folder for all controllers, memory.oom.group ends the whole run at once, and cgroup.kill ends it.

#define _GNU_SOURCE
#include "launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool write_text(const char *folder, const char *file, const char *text) {
    char path[4352];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    ssize_t written = write(descriptor, text, strlen(text));
    int reason = errno;
    close(descriptor);
    errno = reason;
    return written == (ssize_t)strlen(text);
}

/// Reads a small file; an empty text when it is not there.
static void read_text(const char *folder, const char *file, char *text, size_t capacity) {
    char path[4352];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    text[0] = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return;
    ssize_t length = read(descriptor, text, capacity - 1);
    close(descriptor);
    text[length > 0 ? length : 0] = 0;
}

static uint64_t read_number(const char *folder, const char *file) {
    char text[64];
    read_text(folder, file, text, sizeof text);
    return strtoull(text, NULL, 10);
}

/// The value of a line "KEY VALUE" in a file of such lines; 0 when it is absent.
static uint64_t read_field(const char *folder, const char *file, const char *key) {
    char text[1024];
    read_text(folder, file, text, sizeof text);
    size_t length = strlen(key);
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, key, length) && line[length] == ' ') return strtoull(line + length, NULL, 10);
    return 0;
}

static bool has_word(const char *text, const char *word) {
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += length) {
        bool starts = at == text || strchr(" ,\n", at[-1]) != NULL;
        if (starts && (at[length] == 0 || strchr(" ,\n", at[length]))) return true;
    }
    return false;
}

// --- probing ---------------------------------------------------------------------------------------------------------------------

/// The path of this process in a hierarchy, from /proc/self/cgroup: the line whose second field holds the controller ("" for v2).
static void own_path(const char *controller, char *path, size_t capacity) {
    char text[4096];
    read_text("/proc/self", "cgroup", text, sizeof text);
    snprintf(path, capacity, "/");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *controllers = strchr(line, ':');
        char *where = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!where) continue;
        *where = 0;
        bool match = *controller ? has_word(controllers + 1, controller) : controllers[1] == 0;
        if (match) snprintf(path, capacity, "%s", where + 1);
    }
}

enum { stale_seconds = 60 };

static bool usable(const char *folder) {
    if (mkdir(folder, 0755) != 0 && errno != EEXIST) return false;
    char trial[4352];
    snprintf(trial, sizeof trial, "%s/trial-%d", folder, (int)getpid());
    if (mkdir(trial, 0755) != 0) return false;
    char procs[4400];
    snprintf(procs, sizeof procs, "%s/cgroup.procs", trial);
    bool writable = access(procs, W_OK) == 0;
    rmdir(trial);
    return writable;
}

/// Removes what launchers that were killed left behind: a group without processes (the kernel refuses to remove any other) that is older than a
/// launcher needs to put its command into it.
static void sweep(const char *folder) {
    DIR *listing = opendir(folder);
    if (!listing) return;
    struct dirent *entry;
    while ((entry = readdir(listing))) {
        struct stat found;
        if (!strchr(entry->d_name, '-') || fstatat(dirfd(listing), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (S_ISDIR(found.st_mode) && found.st_mtime + stale_seconds < time(NULL)) unlinkat(dirfd(listing), entry->d_name, AT_REMOVEDIR);
    }
    closedir(listing);
}

/// Turns the controllers on for the children of a v2 folder; processes in the folder itself are moved to a leaf first if they block it.
static bool enable_controllers(const char *folder) {
    static const char *const wanted = "+memory +pids +cpu";
    if (write_text(folder, "cgroup.subtree_control", wanted)) return true;
    if (errno != EBUSY) return false;
    char leaf[4352], text[65536];
    snprintf(leaf, sizeof leaf, "%s/auspex-service", folder);
    if (mkdir(leaf, 0755) != 0 && errno != EEXIST) return false;
    read_text(folder, "cgroup.procs", text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) write_text(leaf, "cgroup.procs", line);
    return write_text(folder, "cgroup.subtree_control", wanted);
}

static bool probe_v2(const char *mount, const char *name) {
    char own[2048], controllers[512];
    own_path("", own, sizeof own);
    const char *const starts[] = {"", own};
    for (int i = 0; i < 2; i++) {
        char parent[4096], folder[4352];
        snprintf(parent, sizeof parent, "%.2000s%s", mount, strcmp(starts[i], "/") ? starts[i] : "");
        read_text(parent, "cgroup.controllers", controllers, sizeof controllers);
        if (!has_word(controllers, "memory") || !has_word(controllers, "pids") || !has_word(controllers, "cpu")) continue;
        snprintf(folder, sizeof folder, "%s/%s", parent, name);
        if (!enable_controllers(parent) || !usable(folder) || !enable_controllers(folder)) continue;
        sweep(folder);
        printf("cgroup-v2 %s\n", folder);
        return true;
    }
    return false;
}

static bool probe_v1(const char *mount, const char *controller, const char *name) {
    char own[2048], folder[4352];
    own_path(controller, own, sizeof own);
    const char *const starts[] = {"", own};
    for (int i = 0; i < 2; i++) {
        snprintf(folder, sizeof folder, "%.2000s%s/%s", mount, strcmp(starts[i], "/") ? starts[i] : "", name);
        if (!usable(folder)) continue;
        sweep(folder);
        printf("cgroup-v1 %s=%s\n", controller, folder);
        return true;
    }
    return false;
}

/// Prints the folders that runs may use, one a line, in the form of the options of `run`; nothing when there are none.
void cgroup_probe(const char *name) {
    static const char *const wanted[] = {"memory", "pids", "cpu"};
    FILE *mounts = fopen("/proc/self/mounts", "re");
    if (!mounts) return;
    char line[8192];
    bool found = false;
    while (!found && fgets(line, sizeof line, mounts)) {
        char mount[2048], type[64];
        if (sscanf(line, "%*s %2047s %63s", mount, type) == 2 && !strcmp(type, "cgroup2")) found = probe_v2(mount, name);
    }
    rewind(mounts);
    while (!found && fgets(line, sizeof line, mounts)) {
        char mount[2048], type[64], settings[2048];
        if (sscanf(line, "%*s %2047s %63s %2047s", mount, type, settings) != 3 || strcmp(type, "cgroup")) continue;
        for (int i = 0; i < 3; i++)
            if (has_word(settings, wanted[i])) probe_v1(mount, wanted[i], name);
    }
    fclose(mounts);
}

// --- one run ---------------------------------------------------------------------------------------------------------------------

enum { period_microseconds = 100000, idle_quota_microseconds = 1000, idle_slack_bytes = 16 << 20 };

static bool write_number(const char *folder, const char *name, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return write_text(folder, name, text);
}

static bool set_memory(const struct options *options, const struct cgroup *group, uint64_t bytes) {
    return write_number(group->path, options->unified ? "memory.max" : "memory.limit_in_bytes", bytes);
}

static bool set_quota(const struct options *options, const struct cgroup *group, uint64_t microseconds) {
    if (!options->unified) return write_number(group->path, "cpu.cfs_quota_us", microseconds);
    char text[64];
    snprintf(text, sizeof text, "%llu %d", (unsigned long long)microseconds, period_microseconds);
    return write_text(group->path, "cpu.max", text);
}

/// The group's share where several want a processor: the least there is, or the usual one.
static void set_share(const struct options *options, const struct cgroup *group, bool gently) {
    write_number(group->path, options->unified ? "cpu.weight" : "cpu.shares", options->unified ? (gently ? 1 : 100) : (gently ? 2 : 1024));
}

static uint64_t first_memory(const struct options *options) {
    uint64_t waiting = options->waiting_memory_bytes;
    return waiting && waiting < options->memory_bytes ? waiting : options->memory_bytes;
}

static bool counts(const struct options *options, const struct cgroup *group, const char *controller) {
    return group->made && (options->unified || !strcmp(group->controller, controller));
}

/// Leaves a command that waits little more than it has; gives the memory that it has, 0 when nobody counts it.
uint64_t cgroup_idle(const struct options *options) {
    uint64_t used = 0;
    for (int i = 0; i < options->cgroup_count; i++) {
        const struct cgroup *group = &options->cgroups[i];
        if (counts(options, group, "cpu")) set_quota(options, group, idle_quota_microseconds);
        if (!counts(options, group, "memory")) continue;
        used = read_number(group->path, options->unified ? "memory.current" : "memory.usage_in_bytes");
        if (options->memory_bytes && used + idle_slack_bytes < first_memory(options)) set_memory(options, group, used + idle_slack_bytes);
    }
    return used;
}

/// Lets a command that waits die quickly.
void cgroup_hurry(const struct options *options) {
    for (int i = 0; i < options->cgroup_count; i++) {
        const struct cgroup *group = &options->cgroups[i];
        if (!counts(options, group, "cpu")) continue;
        if (options->cpu_thousandths) set_quota(options, group, options->cpu_thousandths * 100);
        if (options->waits_gently) set_share(options, group, false);
    }
}

/// Gives a command that waited what its run may have, where it had less; `idle` says whether most was taken from it.
void cgroup_wake(const struct options *options, bool idle) {
    bool had_less_memory = idle || first_memory(options) < options->memory_bytes;
    for (int i = 0; i < options->cgroup_count; i++) {
        const struct cgroup *group = &options->cgroups[i];
        if (counts(options, group, "cpu")) {
            if (options->cpu_thousandths && idle) set_quota(options, group, options->cpu_thousandths * 100);
            if (options->waits_gently) set_share(options, group, false);
        }
        if (counts(options, group, "memory") && options->memory_bytes && had_less_memory) set_memory(options, group, options->memory_bytes);
    }
}

/// One file of a group and what is written into it; a refusal of an optional one is no fault of the run.
struct setting {
    const char *file;
    char value[64];
    bool optional;
};

enum { most_settings = 8 };

static void add_setting(struct setting *settings, int *count, const char *file, bool optional, const char *value) {
    struct setting *setting = &settings[(*count)++];
    setting->file = file;
    setting->optional = optional;
    snprintf(setting->value, sizeof setting->value, "%s", value);
}

static const char *decimal(char *text, size_t capacity, uint64_t value) {
    snprintf(text, capacity, "%llu", (unsigned long long)value);
    return text;
}

/// What is written into a group's files, in this order; under v1 only what the group's controller knows.
static int settings_of(const struct options *options, const struct cgroup *group, struct setting *settings) {
    int count = 0;
    char text[64], quota[64];
    bool all = options->unified;
    if (options->waits_gently && (all || !strcmp(group->controller, "cpu")))
        add_setting(settings, &count, all ? "cpu.weight" : "cpu.shares", true, all ? "1" : "2");
    if (options->memory_bytes && (all || !strcmp(group->controller, "memory"))) {
        const char *first = decimal(text, sizeof text, first_memory(options));
        add_setting(settings, &count, all ? "memory.max" : "memory.limit_in_bytes", false, first);
        // Without swap a run over its bound ends at once instead of making the disk busy. The files are absent where swap is not accounted.
        const char *most = decimal(text, sizeof text, options->memory_bytes);
        add_setting(settings, &count, all ? "memory.swap.max" : "memory.memsw.limit_in_bytes", true, all ? "0" : most);
        if (all) add_setting(settings, &count, "memory.oom.group", true, "1");
        else add_setting(settings, &count, "memory.swappiness", true, "0");
    }
    if (options->process_count && (all || !strcmp(group->controller, "pids")))
        add_setting(settings, &count, "pids.max", false, decimal(text, sizeof text, options->process_count));
    if (options->cpu_thousandths && (all || !strcmp(group->controller, "cpu"))) {
        snprintf(quota, sizeof quota, all ? "%llu 100000" : "%llu", (unsigned long long)options->cpu_thousandths * 100);
        if (!all) add_setting(settings, &count, "cpu.cfs_period_us", false, "100000");
        add_setting(settings, &count, all ? "cpu.max" : "cpu.cfs_quota_us", false, quota);
    }
    return count;
}

static bool set_limits(const struct options *options, const struct cgroup *group) {
    struct setting settings[most_settings];
    int count = settings_of(options, group, settings);
    for (int i = 0; i < count; i++)
        if (!write_text(group->path, settings[i].file, settings[i].value) && !settings[i].optional) return false;
    return true;
}

/// Prints what `run` would write with the same options: files and values of every group, for tests and for a curious operator.
void cgroup_print(const struct options *options) {
    for (int i = 0; i < options->cgroup_count; i++) {
        const struct cgroup *group = &options->cgroups[i];
        struct setting settings[most_settings];
        int count = settings_of(options, group, settings);
        for (int k = 0; k < count; k++)
            printf("%s/%s/%s = %s%s\n", group->parent, options->name, settings[k].file, settings[k].value, settings[k].optional ? " (if there)" : "");
    }
}

/// Prints what a group's files say of a run, as `run` reads them; the folders are those of `--cgroup-…` with the run's name.
void cgroup_print_usage(struct options *options) {
    for (int i = 0; i < options->cgroup_count; i++) {
        struct cgroup *group = &options->cgroups[i];
        snprintf(group->path, sizeof group->path, "%s/%s", group->parent, options->name);
        group->made = true;
    }
    struct usage usage = cgroup_usage(options);
    printf("memory_peak_bytes=%llu out_of_memory_kills=%llu process_limit_hits=%llu\n", (unsigned long long)usage.memory_peak_bytes,
        (unsigned long long)usage.out_of_memory_kills, (unsigned long long)usage.process_limit_hits);
}

/// Makes the run's folders and sets its limits; false with a message when the kernel refused one.
bool cgroup_make(struct options *options, char *message, size_t capacity) {
    for (int i = 0; i < options->cgroup_count; i++) {
        struct cgroup *group = &options->cgroups[i];
        snprintf(group->path, sizeof group->path, "%s/%s", group->parent, options->name);
        if (mkdir(group->path, 0755) != 0) {
            snprintf(message, capacity, "mkdir %.400s: %s", group->path, strerror(errno));
            return false;
        }
        group->made = true;
        if (!set_limits(options, group)) {
            snprintf(message, capacity, "limits in %.400s: %s", group->path, strerror(errno));
            return false;
        }
    }
    return true;
}

// A process that moves into a group of v2, or a whole process into one of v1, waits for a grace period of the kernel: 7 to 11 ms in which nothing
// else happens. Neither a process that is born in its group does, nor a thread that moves itself into one of v1.

/// Forks a child that is born in a folder of v2; -1 where that cannot be done. glibc does not hear of it, which a process of one thread may do.
static pid_t fork_into(const char *folder) {
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)descriptor};
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    close(descriptor);
    return child;
}

/// Forks the process of the run. `joined` says whether it is in the run's folders already; if not, it has to call `cgroup_join`.
pid_t cgroup_fork(const struct options *options, bool *joined) {
    *joined = true;
    // Old kernels and the filters of some containers have no clone3.
    pid_t child = options->unified && options->cgroup_count == 1 ? fork_into(options->cgroups[0].path) : -1;
    if (child >= 0) return child;
    *joined = false;
    return fork();
}

/// Puts the calling process, which has one thread, into the run's folders.
bool cgroup_join(const struct options *options, char *message, size_t capacity) {
    const char *file = options->unified ? "cgroup.procs" : "tasks";
    for (int i = 0; i < options->cgroup_count; i++) {
        if (write_text(options->cgroups[i].path, file, "0")) continue;
        snprintf(message, capacity, "join %.400s: %s", options->cgroups[i].path, strerror(errno));
        return false;
    }
    return true;
}

/// Kills every process of the run, as often as needed for a program that forks while it is being killed.
void cgroup_kill(const struct options *options) {
    if (options->cgroup_count == 0) return;
    const char *folder = options->cgroups[0].path;
    if (options->unified && write_text(folder, "cgroup.kill", "1")) return;
    char text[65536];
    for (int round = 0; round < 100; round++) {
        read_text(folder, "cgroup.procs", text, sizeof text);
        if (!text[0]) return;
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) kill((pid_t)atoi(line), SIGKILL);
    }
}

static uint64_t out_of_memory_kills(const struct options *options, const struct cgroup *group) {
    return read_field(group->path, options->unified ? "memory.events" : "memory.oom_control", "oom_kill");
}

/// Whether the kernel has killed anything of the run for want of memory.
bool cgroup_has_killed(const struct options *options) {
    for (int i = 0; i < options->cgroup_count; i++)
        if (counts(options, &options->cgroups[i], "memory") && out_of_memory_kills(options, &options->cgroups[i]) > 0) return true;
    return false;
}

struct usage cgroup_usage(const struct options *options) {
    struct usage usage = {0};
    for (int i = 0; i < options->cgroup_count; i++) {
        const struct cgroup *group = &options->cgroups[i];
        if (!group->made) continue;
        if (options->unified) {
            usage.memory_peak_bytes = read_number(group->path, "memory.peak");
            usage.out_of_memory_kills = out_of_memory_kills(options, group);
            usage.process_limit_hits = read_field(group->path, "pids.events", "max");
        } else if (!strcmp(group->controller, "memory")) {
            usage.memory_peak_bytes = read_number(group->path, "memory.max_usage_in_bytes");
            usage.out_of_memory_kills = out_of_memory_kills(options, group);
        } else if (!strcmp(group->controller, "pids")) {
            usage.process_limit_hits = read_field(group->path, "pids.events", "max");
        }
    }
    return usage;
}

/// Removes the run's folders; a folder can stay busy for a moment after its last process was collected.
void cgroup_remove(struct options *options) {
    for (int i = 0; i < options->cgroup_count; i++) {
        struct cgroup *group = &options->cgroups[i];
        for (int attempt = 0; group->made && attempt < 200; attempt++) {
            if (rmdir(group->path) == 0 || errno == ENOENT) group->made = false;
            else nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
}
