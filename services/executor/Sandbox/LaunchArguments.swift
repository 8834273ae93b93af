import Contracts

/// The command line of `sandbox-launch` for one run: its own options, bwrap's arguments, the program.
///
/// Where bwrap makes the root itself the order of its arguments matters: every mount comes before the remount that makes the root read-only, and
/// without the remounts of `/` and `/dev` both would be writable memory without a bound.
struct LaunchArguments {
    private let command: SandboxCommand
    private let host: SandboxHost
    private let waiting: WaitingLimits?

    /// The command line for this machine; with `waiting` for a program that is started ahead of its run.
    init(command: SandboxCommand, host: SandboxHost, waiting: WaitingLimits? = nil) {
        self.command = command
        self.host = host
        self.waiting = waiting
    }

    /// All arguments after the launcher's own path.
    func list(name: String, slot: Int) -> [String] {
        launcherOptions(name: name, slot: slot) + ["--"] + bubblewrap() + ["--"] + command.arguments
    }

    private var limits: SandboxLimits { command.limits }

    private func launcherOptions(name: String, slot: Int) -> [String] {
        let milliseconds = max(1, limits.wallTime.wholeMicroseconds / 1000)
        var options = [
            "run", "--environment-at", "\(Self.environmentDescriptor)", "--name", name, "--wall-milliseconds", "\(milliseconds)", "--open-files",
            "\(limits.openFiles)", "--file-bytes",
            "\(limits.temporaryBytes)",
            // The wall clock comes first; this is for a program that outlives its launcher's attention.
            "--cpu-seconds", "\((milliseconds / 1000 + 5) * Int64(max(1, limits.cpuThousandths / 1000)) + (waiting?.processorSeconds ?? 0))",
        ]
        if host.filter != nil { options += ["--filter-at", "\(Self.filterDescriptor)"] }
        if let waiting {
            options += ["--waiting-milliseconds", "\(max(1, waiting.time.wholeMicroseconds / 1000))"]
            if let bytes = waiting.memoryBytes { options += ["--waiting-memory-bytes", "\(bytes)"] }
            if waiting.isGentle { options += ["--waiting-gently", "1"] }
        }
        if let first = host.firstUserID {
            options += ["--uid", "\(userID(first, slot))"]
            // The launcher is root, so it makes the run's root folder, which costs less than when bwrap does and may show closed folders.
            options += ["--system", host.systemRoot]
            for mount in command.mounts { options += [mount.writable ? "--show-writable" : "--show", "\(mount.target)=\(mount.source)"] }
            for device in command.devices { options += ["--device", device] }
        }
        // With cgroups the kernel keeps these bounds; without, the launcher looks at the memory of the whole run now and then.
        if host.level == .full { for folder in host.cgroups { options += [folder.option, folder.value] } }
        options += [
            "--memory-bytes", "\(limits.memoryBytes)", "--processes", "\(limits.processes)", "--cpu-thousandths", "\(limits.cpuThousandths)",
        ]
        return options
    }

    private func userID(_ first: UInt32, _ slot: Int) -> UInt32 {
        switch command.purpose {
        case .build(let userID): userID ?? first
        case .run: first + 1 + UInt32(slot)
        }
    }

    private func bubblewrap() -> [String] {
        let walls = [
            "--unshare-user", "--unshare-all", "--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv", "--uid",
            "1000", "--gid", "1000", "--hostname", "sandbox",
        ]
        return walls + (host.firstUserID == nil ? rootOfItsOwn() : rootOfTheLauncher()) + ["--chdir", "/tmp"]
    }

    /// What the launcher has made, read-only, and what belongs to the namespaces of the run.
    private func rootOfTheLauncher() -> [String] {
        // Not `--ro-bind`: that would take away the devices. The mounts bear their restrictions, which the namespaces of a run cannot lift.
        ["--dev-bind", "/mnt", "/", "--proc", "/proc"] + temporaryFolders() + masks()
    }

    /// For an ordinary user, bwrap makes everything.
    private func rootOfItsOwn() -> [String] {
        let system = host.systemRoot == "/" ? "" : host.systemRoot
        var list = [
            "--ro-bind", "\(system)/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin",
            "--proc", "/proc", "--dev", "/dev",
        ]
        list += temporaryFolders()
        for device in command.devices { list += ["--dev-bind", device, device] }
        list += ["--remount-ro", "/dev"] + masks()
        for mount in command.mounts { list += [mount.writable ? "--bind" : "--ro-bind", mount.source, mount.target] }
        return list + ["--remount-ro", "/"]
    }

    private func temporaryFolders() -> [String] {
        ["/tmp", "/dev/shm"].flatMap { ["--size", "\(limits.temporaryBytes)", "--perms", "1777", "--tmpfs", $0] }
    }

    /// After the mounts of /proc and /dev, whose files these cover: a device on a mount without devices can be opened by nobody.
    private func masks() -> [String] { host.maskedFiles.flatMap { ["--ro-bind", "/dev/null", $0] } }

    /// The launcher reads the environment here.
    static let environmentDescriptor: Int32 = 7
    /// And the compiled system call filter here.
    static let filterDescriptor: Int32 = 8

    /// The environment as more of bwrap's arguments, each ended by NUL. On the command line every user of the host could read it, and the
    /// address of a package index or of a proxy may hold a password.
    func environment() -> [UInt8] {
        var list: [String] = []
        let fixed = ["HOME": "/tmp", "PATH": "/usr/bin", "LANG": "C.UTF-8"]
        for (name, value) in fixed.merging(command.environment, uniquingKeysWith: { $1 }).sorted(by: { $0.key < $1.key }) {
            list += ["--setenv", name, value]
        }
        return list.flatMap { Array($0.utf8.filter { $0 != 0 }) + [0] }
    }
}
