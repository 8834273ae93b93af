internal import CSandbox
import FoundationEssentials
import Glibc

/// What the machine offers this process: its own container's limits included.
struct MachineCapacity: Sendable, Hashable {
    /// Thousandths of processors.
    var cpuThousandths: Int
    /// Memory, in bytes.
    var memoryBytes: Int

    /// Reads it below a root folder, which is `/` but in tests.
    ///
    /// A limit holds for everything below its group, so every group from this process' own up to the root is asked, in both generations of cgroups.
    /// Inside a container the path in `/proc/self/cgroup` may be one of the host's, of which only the mount's root is seen.
    static func detect(root: String = "", processors: Int) -> MachineCapacity {
        var cpu = processors * 1000
        var memory = totalMemory(read("\(root)/proc/meminfo") ?? "") ?? 1 << 30
        for line in (read("\(root)/proc/self/cgroup") ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let controllers = parts[1].split(separator: ",")
            for folder in folders(parts[2]) {
                if controllers.isEmpty {
                    for mount in ["\(root)/sys/fs/cgroup", "\(root)/sys/fs/cgroup/unified"] {
                        if let bytes = number(read("\(mount)\(folder)/memory.max")) { memory = min(memory, bytes) }
                        if let quota = quota(read("\(mount)\(folder)/cpu.max")) { cpu = min(cpu, quota) }
                    }
                } else if controllers.contains("memory") {
                    if let bytes = number(read("\(root)/sys/fs/cgroup/memory\(folder)/memory.limit_in_bytes")) { memory = min(memory, bytes) }
                } else if controllers.contains("cpu") {
                    for name in ["cpu", "cpu,cpuacct"] {
                        let mount = "\(root)/sys/fs/cgroup/\(name)\(folder)"
                        guard let quota = number(read("\(mount)/cpu.cfs_quota_us")), let period = number(read("\(mount)/cpu.cfs_period_us")),
                            quota > 0,
                            period > 0
                        else { continue }
                        cpu = min(cpu, quota * 1000 / period)
                    }
                }
            }
        }
        return MachineCapacity(cpuThousandths: max(100, cpu), memoryBytes: memory)
    }

    /// The processors that this process may run on.
    static var processors: Int { max(1, Int(auspex_allowed_processors())) }

    /// `/a/b` → `/a/b`, `/a`, and the root.
    private static func folders(_ path: Substring) -> [String] {
        var folders: [String] = []
        var rest = path
        while let slash = rest.lastIndex(of: "/"), rest.count > 1 {
            folders.append(String(rest))
            rest = rest[..<slash]
        }
        return folders + [""]
    }

    private static func read(_ path: String) -> String? { FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } }

    /// A number in a file of its own; nil for `max`, −1 and what is no limit.
    private static func number(_ text: String?) -> Int? {
        guard let word = text?.split(whereSeparator: \.isWhitespace).first, let value = Int(word), value > 0 else { return nil }
        return value
    }

    /// `200000 100000` → 2000.
    private static func quota(_ text: String?) -> Int? {
        guard let words = text?.split(whereSeparator: \.isWhitespace), words.count == 2, let quota = Int(words[0]), let period = Int(words[1]),
            period > 0
        else { return nil }
        return quota * 1000 / period
    }

    private static func totalMemory(_ text: String) -> Int? {
        for line in text.split(separator: "\n") where line.hasPrefix("MemTotal:") {
            return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 << 10 }
        }
        return nil
    }
}
