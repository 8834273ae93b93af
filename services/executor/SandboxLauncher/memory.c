// Memory of a whole run where no cgroup counts it: the private pages of all its processes, summed now and then.
//
// Each process has its own limit besides (RLIMIT_AS), so between two looks a run can grow by the number of its processes times that.
// This is the second wall, not an exact one; the first look after the bound is passed ends the run.

#define _GNU_SOURCE
#include "launcher.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
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

/// Files and folders in the folders in memory that a run may write to; 0 where they cannot be looked at.
///
/// tmpfs bounds its bytes by the run's arguments, but a file without a byte costs the kernel a kilobyte. Under cgroups that is counted as
/// the run's memory; where nothing counts it the launcher does. `process` lives in the sandbox: its root is the run's.
uint64_t files_in_temporary_folders(pid_t process) {
    static const char *const folders[] = {"tmp", "dev/shm"};
    enum { tmpfs = 0x01021994 };
    char path[64];
    struct stat inside, outside;
    snprintf(path, sizeof path, "/proc/%d/root/", (int)process);
    // Before bubblewrap has changed its root, what is seen there is the machine's.
    if (stat(path, &inside) != 0 || stat("/", &outside) != 0 || inside.st_dev == outside.st_dev) return 0;
    uint64_t total = 0;
    for (int i = 0; i < 2; i++) {
        struct statfs found;
        snprintf(path, sizeof path, "/proc/%d/root/%s", (int)process, folders[i]);
        if (statfs(path, &found) == 0 && found.f_type == tmpfs && found.f_files > found.f_ffree) total += found.f_files - found.f_ffree;
    }
    return total;
}
