// Memory of a whole run where no cgroup counts it: the private pages of all its processes, summed now and then.
//
// Each process has its own limit besides (RLIMIT_AS), so between two looks a run can grow by the number of its processes times that.
// This is the second wall, not an exact one; the first look after the bound is passed ends the run.

#define _GNU_SOURCE
#include "launcher.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { most_processes = 4096 };

/// The pages that a process shares with nobody, in bytes; 0 when it is gone.
static uint64_t private_bytes(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    unsigned long long resident = 0, shared = 0;
    if (fscanf(file, "%*u %llu %llu", &resident, &shared) != 2) resident = shared = 0;
    fclose(file);
    return resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/// Adds the children of all threads of a process to a list; the kernel keeps one list a thread.
static int add_children(pid_t parent, pid_t *list, int count) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)parent);
    DIR *threads = opendir(path);
    if (!threads) return count;
    for (struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.') continue;
        char file_path[128];
        snprintf(file_path, sizeof file_path, "/proc/%d/task/%.16s/children", (int)parent, entry->d_name);
        FILE *file = fopen(file_path, "re");
        if (!file) continue;
        while (count < most_processes && fscanf(file, "%d", &list[count]) == 1) count++;
        fclose(file);
    }
    closedir(threads);
    return count;
}

/// The private memory of a process and everything below it, in bytes.
uint64_t memory_of_tree(pid_t root) {
    static pid_t list[most_processes];
    uint64_t total = 0;
    int count = 1;
    list[0] = root;
    for (int index = 0; index < count; index++) {
        total += private_bytes(list[index]);
        count = add_children(list[index], list, count);
    }
    return total;
}
