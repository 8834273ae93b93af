// sandbox-launch: runs one command under bubblewrap with limits, waits for it, cleans up after it, and says how it went.
//
// The executor spawns one of these per run. It stays between the executor and bwrap, for four reasons:
//   * one single-threaded parent per run: PR_SET_PDEATHSIG is tied to the thread that forked, and the executor has many;
//   * it is the subreaper of everything that the run leaves behind, so namespaces' init processes are always collected
//     (an uncollected one keeps its user's process charge, and the next run of that user fails with EAGAIN);
//   * cgroup files are read and written here, where blocking is harmless, and not on the executor's event loop;
//   * when the executor is killed, the control pipe ends, and this process kills the run and removes its cgroups.
//
//   sandbox-launch probe NAME                          prints which cgroup folders could be used
//   sandbox-launch filter                              writes the compiled system call filter to its output
//   sandbox-launch run OPTIONS -- BWRAP-ARGS -- COMMAND
//   sandbox-launch limits OPTIONS -- -- COMMAND        prints what `run` would write into cgroups, without doing it
//   sandbox-launch usage OPTIONS -- -- COMMAND         prints what the groups of a run say of it
//
// Descriptors on entry to `run`: 0 input, 1 output, 2 errors, 3 results (written by the command), 4 the command's input frame,
// 5 status (one line, written here at the end), 6 control (read here: 'T' sends TERM to the command, 'I' and 'S' are for one that waits,
// anything else or the end of the pipe kills the run), 7 with `--environment-at 7`: bwrap arguments about the environment, each ended by NUL,
// 8 with `--filter-at 8`: what `filter` wrote, which otherwise is compiled for the run.

// With `--waiting-milliseconds` the command is started ahead of its run: it may wait so long for the order 'S', with which the run and its
// wall clock begin; eight bytes follow it, the run's time in milliseconds, little-endian. `--waiting-gently 1` lets all runs go first until then. 'I' says that it has nothing to do before 'S': it keeps the
// memory that it has, with a little more, and a hundredth of a processor; the status pipe then gets a line `idle memory_bytes=N`.
// When the limits of waiting are lifted after 'S' it gets a line `begun`; a command that ended or lost a process to those limits never has it.

#include "launcher.h"

#include <stdio.h>
#include <string.h>

int main(int count, char **values) {
    if (count == 3 && strcmp(values[1], "probe") == 0) {
        cgroup_probe(values[2]);
        return 0;
    }
    if (count == 2 && strcmp(values[1], "filter") == 0) return filter_print();
    if (count > 2 && strcmp(values[1], "run") == 0) {
        struct options options = {0};
        options_parse(&options, count - 2, values + 2);
        return supervise(&options);
    }
    bool prints_limits = count > 2 && strcmp(values[1], "limits") == 0;
    if (prints_limits || (count > 2 && strcmp(values[1], "usage") == 0)) {
        struct options options = {0};
        options_parse(&options, count - 2, values + 2);
        if (prints_limits) cgroup_print(&options);
        else cgroup_print_usage(&options);
        return 0;
    }
    fprintf(stderr, "usage: sandbox-launch probe NAME | sandbox-launch filter | sandbox-launch run OPTIONS -- BWRAP-ARGUMENTS -- COMMAND\n");
    return 64;
}
