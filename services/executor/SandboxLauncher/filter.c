// The system calls that a sandboxed program may not make, as a seccomp program for `bwrap --seccomp`.
//
// The default is "allow": numeric libraries use a wide and changing part of the kernel's interface, and the namespaces, the missing
// capabilities and the cgroups are the walls. The filter takes away what has a history of holes or has no use in a run. Calls are
// refused with an error, so that libraries fall back, except those of a foreign architecture, which kill.

#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const refused[] = {
    // other processes' memory and descriptors
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise",
    // mounts and namespaces
    "mount", "umount", "umount2", "pivot_root", "chroot", "setns", "unshare", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount",
    "fspick", "mount_setattr", "name_to_handle_at", "open_by_handle_at", "fanotify_init", "fanotify_mark", "quotactl", "quotactl_fd",
    // keys, tracing, programs in the kernel, asynchronous rings
    "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    // the machine itself
    "init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms", "kexec_load", "kexec_file_load",
    "reboot", "swapon", "swapoff", "acct", "syslog", "iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "settimeofday", "clock_settime",
    "stime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname", "vhangup", "lookup_dcookie",
    // memory placement and memory that outlives its process
    "mbind", "set_mempolicy", "get_mempolicy", "move_pages", "migrate_pages", "set_mempolicy_home_node", "vmsplice", "memfd_secret",
    "remap_file_pages", "mq_open", "mq_unlink", "shmget", "semget", "msgget",
    // long dead
    "nfsservctl", "ustat", "sysfs", "uselib", "_sysctl", "afs_syscall", "vserver", "tuxcall", "security", "getpmsg", "putpmsg",
    "epoll_ctl_old", "epoll_wait_old", NULL,
};

// Calls that this list was written before, and one libseccomp cannot name yet: they do not exist in a run until somebody has looked at
// them. From 424 on numbers are the same on every architecture; 512 begins x32, which is a foreign one here. What is known to be harmless and in use
// is let through: mseal (462), the xattr calls on descriptors (463-466).
enum { first_unknown_call = 457, last_unknown_call = 511, first_known_again = 462, last_known_again = 466 };

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
static const unsigned long namespaces[] = {
    CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP,
};

static int add_rules(scmp_filter_ctx context) {
    int failed = 0;
    for (int i = 0; refused[i]; i++) {
        int call = seccomp_syscall_resolve_name(refused[i]);
        if (call == __NR_SCMP_ERROR) continue;  // a libseccomp older or newer than the list: the call cannot be named, nor made by name
        int result = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), call, 0);
        if (result && result != -EDOM && result != -EOPNOTSUPP) failed = result;
    }
    // clone3 hides its flags behind a pointer; glibc falls back to clone when it is told that the call does not exist.
    failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++)
        failed |= seccomp_rule_add(
            context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    // Only AF_UNIX, AF_INET and AF_INET6: vsock, netlink and others are not bound to the (empty) network namespace.
    failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, 0));
    failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, AF_INET6));
    for (unsigned family = AF_INET + 1; family < AF_INET6; family++)
        failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, family));
    // A pair leads to nobody outside, but vsock and TIPC have their own code for it in the kernel.
    failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    for (int call = first_unknown_call; call <= last_unknown_call; call++)
        if (call < first_known_again || call > last_known_again) failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), call, 0);
    // Typing into the terminal that started the service.
    failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffUL, TIOCSTI));
    failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffUL, TIOCLINUX));
    failed |= seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(personality), 1, SCMP_A0(SCMP_CMP_NE, 0));
    failed |= seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree instead of a list: fewer steps for each allowed call
    return failed;
}

/// Writes the compiled filter, as bwrap reads it; false with errno when it could not be made.
bool filter_write(int descriptor) {
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    int failed = context ? add_rules(context) : -ENOMEM;
    if (!failed) failed = seccomp_export_bpf(context, descriptor);
    if (context) seccomp_release(context);
    if (failed) errno = -failed;
    return !failed;
}

/// Writes it to the output, for whoever starts many runs: compiling takes half a millisecond of each.
int filter_print(void) {
    if (filter_write(STDOUT_FILENO)) return 0;
    perror("sandbox-launch: seccomp filter");
    return 1;
}
