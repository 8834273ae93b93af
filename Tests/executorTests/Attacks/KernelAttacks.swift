import Contracts

/// System calls with a history of holes: each by its number on x86-64, each refused before the kernel looks at its arguments.
extension Attack {
    /// One call that the filter refuses with EPERM.
    private static func call(_ name: String, _ number: Int, _ arguments: String = "0, 0, 0, 0, 0") -> Attack {
        .probe("system call \(name)", "refused(lambda: call(\(number), \(arguments)), errno.EPERM)")
    }

    static let kernel: [Attack] = [
        call("ptrace", 101, "16, 1, 0, 0"), call("process_vm_readv", 310, "1, 0, 0, 0, 0, 0"), call("process_vm_writev", 311, "1, 0, 0, 0, 0, 0"),
        call("kcmp", 312, "1, 1, 0, 0, 0"), call("pidfd_getfd", 438), call("process_madvise", 440),
        call("mount", 165, "b'none', b'/tmp', b'tmpfs', 0, 0"),
        call("umount2", 166, "b'/tmp', 2"), call("pivot_root", 155, "b'/tmp', b'/tmp'"), call("chroot", 161, "b'/tmp'"), call("setns", 308, "0, 0"),
        call("open_tree", 428), call("move_mount", 429), call("fsopen", 430, "b'tmpfs', 0"), call("fsconfig", 431), call("fsmount", 432),
        call("fspick", 433), call("mount_setattr", 442), call("name_to_handle_at", 303), call("open_by_handle_at", 304), call("fanotify_init", 300),
        call("quotactl", 179), call("keyctl", 250, "0, -3, 0"), call("add_key", 248, "b'user', b'x', b'y', 1, -3"), call("request_key", 249),
        call("bpf", 321), call("perf_event_open", 298, "0, 0, -1, -1, 0"), call("userfaultfd", 323, "1"), call("io_uring_setup", 425, "8, 0"),
        call("io_uring_enter", 426), call("io_uring_register", 427), call("init_module", 175), call("finit_module", 313),
        call("delete_module", 176, "b'x', 0"), call("kexec_load", 246), call("kexec_file_load", 320),
        call("reboot", 169, "0xfee1dead, 672274793, 0x89abcdef, 0"), call("swapon", 167, "b'/tmp/x', 0"), call("swapoff", 168, "b'/tmp/x'"),
        call("acct", 163, "0"), call("syslog", 103, "10, 0, 0"), call("iopl", 172, "3"), call("ioperm", 173, "0, 1, 1"),
        call("modify_ldt", 154, "0, 0, 0"), call("settimeofday", 164, "0, 0"), call("clock_settime", 227), call("adjtimex", 159, "0"),
        call("sethostname", 170, "b'x', 1"), call("setdomainname", 171, "b'x', 1"), call("vhangup", 153), call("mbind", 237),
        call("move_pages", 279), call("migrate_pages", 256), call("vmsplice", 278), call("memfd_secret", 447), call("shmget", 29),
        call("semget", 64), call("msgget", 68), call("mq_open", 240, "b'x', 0, 0, 0"), call("unshare", 272, "0x10000000"),
        .probe(
            "clone with every kind of namespace",
            "for flag in (0x20000000, 0x10000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000, 0x00020000):\n    refused(lambda: call(56, flag | 17, 0, 0, 0, 0), errno.EPERM)"
        ),
        .probe("clone3, whose flags no filter sees", "refused(lambda: call(435, 0, 0), errno.ENOSYS)"),
        .probe(
            "calls that are newer than the filter",
            "for number in (457, 458, 459, 467, 469, 480, 511):\n    refused(lambda: call(number, 0, 0, 0, 0, 0), errno.ENOSYS)"
        ),
        .probe("another personality", "refused(lambda: call(135, 0x0040000), errno.EPERM)"),
        .probe(
            "another user",
            "for action in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):\n    refused(action, errno.EPERM, errno.EINVAL)"
        ),
        .probe(
            "capabilities and privileges",
            """
            status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                if int(status[name], 16): got.append(name + status[name])
            if status["NoNewPrivs"].strip() != "1": got.append("new privileges")
            if status["Seccomp"].strip() != "2": got.append("no filter")
            """
        ),
        .probe(
            "a higher place in the queue",
            "refused(lambda: os.nice(-10), errno.EPERM, errno.EACCES)\nrefused(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10)), errno.EPERM)"
        ),
        .probe(
            "raising its own limits",
            """
            import resource
            for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_CPU, resource.RLIMIT_MEMLOCK):
                soft, hard = resource.getrlimit(limit)
                try: resource.setrlimit(limit, (hard + 1, hard + 1)); got.append(f"limit {limit} above {hard}")
                except (ValueError, OSError): pass
            """
        ),
        .program(
            "a 32-bit system call",
            """
            import ctypes, mmap
            def predict(context):
                code = bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3])  # mov eax, 20 (getpid on i386); int 0x80; ret
                page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
                page.write(code)
                ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
            """,
            ends: .failure([.policy], words: "SIGSYS")
        ),
        .program(
            "an x32 system call",
            "import ctypes\ndef predict(context):\n    ctypes.CDLL(None).syscall(0x40000000 + 39)\n",
            ends: .failure([.policy], words: "SIGSYS")
        ),
    ]
}
