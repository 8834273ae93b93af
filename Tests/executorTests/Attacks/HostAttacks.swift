/// What a run may find out about the machine, the service and other runs, and where it may leave something.
extension Attack {
    static let host: [Attack] = [
        .probe(
            "files of the system that hold secrets",
            """
            for path in ("/etc/shadow", "/etc/passwd", "/app/../../../../etc/shadow", "HOST_FOLDER/secret", "/home/operator/.ssh/id_rsa"):
                refused(lambda: open(path).read(), errno.ENOENT)
            """
        ),
        .probe("folders of the host", #"absent("/root", "/home", "/etc", "/var", "/sys", "/run", "/mnt", "/srv", "/opt", "/boot", "/media")"#),
        .probe(
            "what lies at the root",
            """
            strangers = set(os.listdir("/")) - {"app", "tmp", "dev", "proc", "bin", "lib", "lib64", "usr", "sdk", "env"}
            if strangers: got.append(repr(strangers))
            """
        ),
        .probe(
            "mounts that allow too much",
            """
            for line in open("/proc/self/mountinfo"):
                place, flags = line.split()[4], line.split()[5].split(",")
                is_device = os.path.exists(place) and (os.stat(place).st_mode & 0o170000) == 0o020000
                if "nosuid" not in flags: got.append(place + " lets files change the user")
                if "nodev" not in flags and not is_device and place not in ("/dev", "/dev/pts"): got.append(place + " has devices")
                if "ro" not in flags and not is_device and place not in ("/proc", "/tmp", "/dev/shm", "/dev/pts"): got.append(place + " can be written")
            """
        ),
        .probe(
            "the service's environment",
            """
            for path in ("/proc/self/environ", "/proc/1/environ", "/proc/2/environ"):
                try: text = open(path, "rb").read()
                except OSError: continue
                if b"the-secret-of-the-host" in text or b"AUSPEX" in text: got.append(path)
            allowed = {"HOME", "PATH", "LANG", "PWD", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
            if set(os.environ) - allowed: got.append(repr(dict(os.environ)))
            """
        ),
        .probe(
            "paths of the host on command lines",
            """
            for number in os.listdir("/proc"):
                if number.isdigit() and b"auspex" in open(f"/proc/{number}/cmdline", "rb").read().replace(b"auspex._runner", b""): got.append(number)
            """
        ),
        .probe("the kernel's command line", #"refused(lambda: open("/proc/cmdline").read(), errno.EACCES)"#),
        .probe("whose keys the kernel holds", #"refused(lambda: open("/proc/key-users").read(), errno.EACCES, errno.ENOENT)"#),
        .probe(
            "the kernel's symbols",
            """
            try: addresses = {line.split()[0] for line in open("/proc/kallsyms")}
            except OSError: addresses = set()
            if addresses - {"0000000000000000", "0" * 8}: got.append("addresses of the kernel")
            """
        ),
        .probe("the kernel's log", #"refused(lambda: call(103, 3, ctypes.create_string_buffer(4096), 4096), errno.EPERM)"#),
        .probe("the kernel's memory", #"refused(lambda: open("/proc/kcore", "rb").read(4096), errno.EACCES, errno.EPERM, errno.ENOENT)"#),
        .probe(
            "the host's memory device",
            #"absent("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kvm", "/dev/fuse", "/dev/vsock", "/dev/net", "/dev/sda", "/dev/vda")"#
        ),
        .probe(
            "the magic key",
            #"refused(lambda: open("/proc/sysrq-trigger", "wb", buffering=0).write(b"b"), errno.EACCES, errno.EROFS, errno.ENOENT)"#
        ),
        .probe(
            "settings of the kernel",
            """
            for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/ns_last_pid", "/proc/sys/user/max_user_namespaces"):
                refused(lambda: open(path, "wb", buffering=0).write(b"1"), errno.EACCES, errno.EROFS, errno.ENOENT, errno.EPERM)
            """
        ),
        .probe(
            "its own maps of users",
            #"refused(lambda: open("/proc/self/uid_map", "wb", buffering=0).write(b"0 0 4294967295"), errno.EPERM, errno.EACCES)"#
        ),
        .probe(
            "its own mercy in a shortage of memory",
            #"refused(lambda: open("/proc/self/oom_score_adj", "wb", buffering=0).write(b"-1000"), errno.EACCES, errno.EPERM, errno.EROFS)"#
        ),
        .probe(
            "other processes",
            """
            others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) > 5]
            if others: got.append("processes " + " ".join(others))
            """
        ),
        .probe(
            "descriptors that were left open",
            """
            for name in os.listdir("/proc/self/fd"):
                try: target = os.readlink(f"/proc/self/fd/{name}")
                except OSError: continue
                if int(name) <= 2: continue
                if not target.startswith(("pipe:", "socket:", "/memfd:auspex-input", "/proc/", "/usr/lib", "/dev/null")): got.append(f"{name}: {target}")
            if len(os.listdir("/proc/self/fd")) > 8: got.append("too many descriptors")
            """
        ),
        .probe(
            "changing its input",
            """
            frames = []
            for number in range(3, 64):
                try: target = os.readlink(f"/proc/self/fd/{number}")
                except OSError: continue
                if "/memfd:" in target: frames.append(number)
            for frame in frames:
                refused(lambda: os.pwrite(frame, b"x", 0), errno.EPERM, errno.EBADF)
                refused(lambda: os.ftruncate(frame, 0), errno.EPERM, errno.EINVAL, errno.EBADF)
                refused(lambda: open(f"/proc/self/fd/{frame}", "r+b").write(b"x" * 65536), errno.EPERM, errno.EACCES)
            """
        ),
        .probe(
            "writing where it may read",
            """
            for path in ("/app/app.py", "/app/new", "/usr/bin/python3", "/usr/new", "/sdk/auspex/author.py", "/sdk/auspex/new.py", "/new", "/dev/new", "/bin/new"):
                refused(lambda: open(path, "w").write("x"), errno.EROFS, errno.EACCES)
            refused(lambda: os.chmod("/app/app.py", 0o777), errno.EROFS, errno.EPERM)
            refused(lambda: os.unlink("/app/app.py"), errno.EROFS, errno.EACCES)
            refused(lambda: os.rename("/app", "/application"), errno.EROFS, errno.EBUSY, errno.EACCES)
            """
        ),
        .probe(
            "making devices",
            """
            refused(lambda: os.mknod("/tmp/disk", 0o060660, os.makedev(254, 0)), errno.EPERM)
            refused(lambda: os.mknod("/tmp/memory", 0o020660, os.makedev(1, 1)), errno.EPERM)
            """
        ),
        .probe(
            "a program with another user's rights",
            """
            import shutil, subprocess
            shutil.copy("/usr/bin/id", "/tmp/id"); os.chmod("/tmp/id", 0o6755)
            if subprocess.run(["/tmp/id", "-u"], capture_output=True, text=True).stdout.strip() != "1000": got.append("setuid bit")
            refused(lambda: os.chown("/tmp/id", 0, 0), errno.EPERM, errno.EINVAL)
            for program in ("/usr/bin/su", "/usr/bin/sudo", "/usr/bin/newgrp"):
                if os.path.exists(program) and subprocess.run([program, "-c", "id"], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0: got.append(program)
            """
        ),
        .probe(
            "links that lead out",
            """
            os.symlink("/etc/shadow", "/tmp/link"); os.symlink(os.path.join("/proc", "1", "root", "etc", "shadow"), "/tmp/first"); os.symlink("/proc/self/exe", "/tmp/exe")
            refused(lambda: open("/tmp/link").read(), errno.ENOENT)
            refused(lambda: open("/tmp/first").read(), errno.EACCES, errno.ENOENT, errno.EPERM)
            for path in [os.path.join("/proc", *parts) for parts in (("1", "root"), ("1", "cwd", ".."), ("self", "root", ".."))]:
                try: seen = set(os.listdir(path))
                except OSError: continue
                if seen - set(os.listdir("/")): got.append(f"{path}: {seen}")
            refused(lambda: open("/tmp/exe", "r+b"), errno.EROFS, errno.ETXTBSY, errno.EACCES)
            refused(lambda: os.link("/usr/bin/env", "/tmp/hard"), errno.EXDEV, errno.EPERM)
            refused(lambda: os.symlink("/etc/shadow", "/app/result"), errno.EROFS, errno.EACCES)
            """
        ),
        .probe("typing into the terminal of the service", "import fcntl\nrefused(lambda: fcntl.ioctl(0, 0x5412, b'x'), errno.EPERM)"),
        .probe("a terminal to control", #"refused(lambda: open("/dev/tty"), errno.ENXIO, errno.ENOENT, errno.EACCES)"#),
        .probe("the host's control groups", #"absent("/sys/fs/cgroup")"#),
    ]
}
