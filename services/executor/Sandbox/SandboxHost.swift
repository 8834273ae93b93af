import Contracts
import Glibc

/// What this machine offers to runs, found once at start.
struct SandboxHost: Sendable {
    /// The path of `sandbox-launch`.
    var launcher: String
    /// The cgroup folders for runs, as options of the launcher; empty when there are none.
    var cgroups: [CgroupFolder]
    /// Whether runs get limits from cgroups.
    var level: SandboxLevel
    /// The root of the system that runs see at `/usr`; `/` for the host's own.
    var systemRoot: String
    /// The user id of builds, with those of runs above it; nil when the executor is not root and all keep its own.
    var firstUserID: UInt32?
    /// What runs may not ask of the kernel; nil leaves it to the launcher to compile it for each.
    var filter: SystemCallFilter?

    /// Files of `/proc` that tell a run about the machine and nothing that it needs, as far as this kernel has them.
    var maskedFiles = Self.maskable.filter { access($0, F_OK) == 0 }

    /// What is covered: the kernel's command line (it may name disks and hold tokens), its modules, and whose keys it holds. Few, because each
    /// costs a third of a millisecond at every start; what else a run could learn there the kernel refuses or shows as zeros by itself.
    static let maskable = ["cmdline", "modules", "key-users", "sched_debug"].map { "/proc/" + $0 }

    /// One folder in which the launcher makes a group for each run.
    struct CgroupFolder: Sendable, Hashable {
        /// `--cgroup-v1` or `--cgroup-v2`.
        var option: String
        /// `CONTROLLER=FOLDER` or `FOLDER`.
        var value: String

        /// The controller's name; all of them under v2.
        var controller: Substring { option == "--cgroup-v2" ? "all" : value.prefix { $0 != "=" } }
    }

    /// Whether the folders bound memory and processes, without which the level is not `full`.
    static func isComplete(_ folders: [CgroupFolder]) -> Bool {
        let controllers = Set(folders.map(\.controller))
        return controllers.contains("all") || controllers.isSuperset(of: ["memory", "pids", "cpu"])
    }

    /// Reads what `sandbox-launch probe` prints.
    static func parse(probe text: String) -> [CgroupFolder] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2, words[0] == "cgroup-v1" || words[0] == "cgroup-v2" else { return nil }
            return CgroupFolder(option: "--" + words[0], value: String(words[1]))
        }
    }
}
