// What the files of sandbox-launch share. See main.c for what the program is.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAXIMUM_CGROUPS 8

/// One cgroup directory made for one run: its controller (all of them under v2) and its parent.
struct cgroup {
    const char *controller;
    const char *parent;
    char path[4096];
    bool made;
};

/// A folder or file of the host that the run sees at `target`.
struct shown {
    const char *target;
    const char *source;
    bool writable;
    bool device;
};

/// The whole command line, parsed. A limit of 0 is "not set".
struct options {
    const char *name;
    bool unified;
    struct cgroup cgroups[MAXIMUM_CGROUPS];
    int cgroup_count;
    // The folder whose `usr` the run sees, when its root is made here and not by bwrap.
    const char *system_folder;
    // As many as the command line may name.
    struct shown *shown;
    int shown_count;
    uid_t uid;
    uint64_t memory_bytes;
    uint64_t process_count;
    uint64_t cpu_thousandths;
    uint64_t wall_milliseconds;
    // How long the command may wait for the order 'S' with which its run, and its wall clock, begin. 0: they begin at once.
    uint64_t waiting_milliseconds;
    // Memory until then; 0 for what the run has.
    uint64_t waiting_memory_bytes;
    // Whether it gives way to runs until then.
    bool waits_gently;
    uint64_t cpu_seconds;
    uint64_t file_bytes;
    uint64_t open_files;
    uint64_t address_space_bytes;
    int environment_descriptor;
    // The compiled system call filter; -1 to compile it.
    int filter_descriptor;
    char **bwrap_arguments;
    int bwrap_argument_count;
    char **command;
};

/// What the kernel counted for one run.
struct usage {
    uint64_t memory_peak_bytes;
    uint64_t out_of_memory_kills;
    uint64_t process_limit_hits;
};

// options.c
void options_parse(struct options *options, int count, char **values);

// cgroup.c
void cgroup_probe(const char *name);
bool cgroup_make(struct options *options, char *message, size_t capacity);
pid_t cgroup_fork(const struct options *options, bool *joined);
bool cgroup_join(const struct options *options, char *message, size_t capacity);
void cgroup_kill(const struct options *options);
struct usage cgroup_usage(const struct options *options);
void cgroup_print(const struct options *options);
void cgroup_print_usage(struct options *options);
void cgroup_remove(struct options *options);
uint64_t cgroup_idle(const struct options *options);
void cgroup_hurry(const struct options *options);
void cgroup_wake(const struct options *options, bool idle);
bool cgroup_has_killed(const struct options *options);

// memory.c
uint64_t memory_of_tree(pid_t root);
uint64_t files_in_temporary_folders(pid_t process);

// filter.c
bool filter_write(int descriptor);
int filter_print(void);

// root.c
const char *root_make(const struct options *options);

// child.c
_Noreturn void child_run(const struct options *options, bool joined, int error_descriptor);

// supervise.c
int supervise(struct options *options);
