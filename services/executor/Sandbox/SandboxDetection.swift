internal import CSandbox
import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime

/// What an operator may demand and set about sandboxes.
struct SandboxConfiguration: Sendable {
    /// The path of `sandbox-launch`.
    var launcher: String
    /// The least level at which the executor works.
    var leastLevel: SandboxLevel
    /// The root of the system that runs see.
    var systemRoot: String
    /// The first user id of runs, when the executor is root.
    var firstUserID: UInt32
    /// The name of the cgroup folder that holds a group for each run.
    var cgroupName: String
}

/// Finds out, by doing it, how strong a sandbox this machine allows.
struct SandboxDetection: Sendable {
    /// What was found; `doctor` prints it.
    struct Report: Sendable {
        /// Everything that was looked at, in the order of looking.
        var probes: [SandboxProbe] = []
        /// What runs can use; nil when even the least sandbox does not work.
        var host: SandboxHost?

        /// One line each.
        var lines: [String] { probes.map(\.line) }
        /// What stands in the way, with what can be done about it.
        var missing: [String] { probes.filter { $0.state == .missing }.map(\.line) }
    }

    private let configuration: SandboxConfiguration
    private let loops: [EventLoop]
    private let cpu: CPUPool

    init(configuration: SandboxConfiguration, loops: [EventLoop], cpu: CPUPool) {
        self.configuration = configuration
        self.loops = loops
        self.cpu = cpu
    }

    /// The host for runs; throws with the reason when it is below what is demanded.
    func require() async throws -> (host: SandboxHost, report: Report) {
        let report = await examine()
        guard let host = report.host else {
            throw SandboxError.refused("no sandbox works on this machine: \(report.missing.joined(separator: "; "))")
        }
        if configuration.leastLevel == .full, host.level == .reduced {
            throw SandboxError.refused(
                "AUSPEX_SANDBOX_LEVEL demands full, but this machine allows only reduced: \(report.missing.joined(separator: "; "))"
            )
        }
        return (host, report)
    }

    /// Looks at everything that sandboxes need.
    func examine() async -> Report {
        var report = Report()
        let isRoot = geteuid() == 0
        report.probes.append(user(isRoot: isRoot))
        report.probes += programs()
        if report.probes.contains(where: { $0.state == .missing }) { return report }
        let folders = await cgroups()
        report.probes.append(Self.probe(cgroups: folders))
        report.probes += await kernel()

        let filter: SystemCallFilter
        do {
            filter = try await cpu.run { [launcher = configuration.launcher] in try SystemCallFilter(compiledBy: launcher) }
        } catch {
            report.probes.append(SandboxProbe(name: "system call filter", state: .missing, detail: "\(error)"))
            return report
        }
        var host = SandboxHost(
            launcher: configuration.launcher,
            cgroups: folders,
            level: .full,
            systemRoot: configuration.systemRoot,
            firstUserID: isRoot ? configuration.firstUserID : nil,
            filter: filter
        )
        if SandboxHost.isComplete(folders), await trial(host, "trial run, full", into: &report) {
            report.host = host
            return report
        }
        host.level = .reduced
        host.cgroups = []
        if await trial(host, "trial run, reduced", into: &report) { report.host = host }
        return report
    }

    // MARK: One by one

    /// Root needs three capabilities to give runs users of their own, and without them may not even map itself into a user namespace.
    private func user(isRoot: Bool) -> SandboxProbe {
        guard isRoot else { return SandboxProbe(name: "user", state: .info, detail: "id \(geteuid()), runs keep it") }
        let status = String(decoding: FileManager.default.contents(atPath: "/proc/self/status") ?? Data(), as: UTF8.self)
        let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        let held = line.flatMap { UInt64($0.dropFirst(7).drop { $0 == "\t" }, radix: 16) } ?? 0
        let needed: [(name: String, bit: UInt64)] = [("SETGID", 6), ("SETUID", 7), ("SYS_ADMIN", 21)]
        let lacking = needed.filter { held & (1 << $0.bit) == 0 }.map(\.name)
        if lacking.isEmpty {
            return SandboxProbe(name: "user", state: .info, detail: "root, runs get users \(configuration.firstUserID) and up")
        }
        return SandboxProbe(
            name: "user",
            state: .missing,
            detail: "root without the capabilities \(lacking.joined(separator: ", "))",
            remedy: "run it as an ordinary user, such as 10001, which needs none"
        )
    }

    private func programs() -> [SandboxProbe] {
        func probe(_ name: String, _ path: String, _ remedy: String) -> SandboxProbe {
            let isThere = access(path, X_OK) == 0
            return SandboxProbe(
                name: name,
                state: isThere ? .ok : .missing,
                detail: isThere ? path : "\(path) is no program",
                remedy: isThere ? nil : remedy
            )
        }
        return [
            probe("launcher", configuration.launcher, "build it (swift build) or name it by AUSPEX_SANDBOX_LAUNCHER"),
            probe("bubblewrap", "/usr/bin/bwrap", "install the package bubblewrap"),
            probe("python", interpreter(configuration.systemRoot), "install the package python3, or set AUSPEX_SANDBOX_ROOT to a system that has it"),
        ]
    }

    private func interpreter(_ root: String) -> String { root == "/" ? "/usr/bin/python3" : "\(root)/usr/bin/python3" }

    private func cgroups() async -> [SandboxHost.CgroupFolder] {
        let (launcher, name) = (configuration.launcher, configuration.cgroupName)
        let text = (try? await cpu.run { try ChildProcess.run(path: launcher, arguments: ["probe", name]).output }) ?? ""
        return SandboxHost.parse(probe: text)
    }

    static func probe(cgroups folders: [SandboxHost.CgroupFolder]) -> SandboxProbe {
        let paths = folders.map(\.value).joined(separator: " ")
        let generation = folders.contains { $0.option == "--cgroup-v2" } ? "v2" : "v1"
        if SandboxHost.isComplete(folders) { return SandboxProbe(name: "cgroups", state: .ok, detail: "\(generation), \(paths)") }
        return SandboxProbe(
            name: "cgroups",
            state: .missing,
            detail: folders.isEmpty ? "none that may be used" : "\(generation), but not memory, pids and cpu: \(paths)",
            remedy: "run as root, or hand over a folder of cgroups that this user may write to (v2: with memory, pids and cpu in its subtree_control)"
        )
    }

    private func kernel() async -> [SandboxProbe] {
        let (namespaces, proc) = await (
            tried(["--unshare-user", "--unshare-all", "--ro-bind", "/", "/", "--", "/bin/true"]),
            tried(["--unshare-user", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--", "/bin/true"])
        )
        var probes = [
            SandboxProbe(
                name: "user namespaces",
                state: namespaces == nil ? .ok : .missing,
                detail: namespaces ?? "they can be made",
                remedy: namespaces == nil ? nil : userNamespaceRemedy()
            )
        ]
        if namespaces == nil {
            probes.append(
                SandboxProbe(
                    name: "proc",
                    state: proc == nil ? .ok : .missing,
                    detail: proc ?? "a fresh one can be mounted",
                    remedy: proc == nil ? nil : "this /proc is masked: give the container systempaths=unconfined (Docker) or unmask=ALL (podman)"
                )
            )
        }
        let actions = Self.firstLine("/proc/sys/kernel/seccomp/actions_avail")
        let hasFilter = auspex_has_seccomp_filter() == 1
        probes.append(
            SandboxProbe(
                name: "seccomp",
                state: hasFilter ? .ok : .missing,
                detail: hasFilter ? (actions.isEmpty ? "filters" : actions) : "this kernel has no filters",
                remedy: hasFilter ? nil : "a kernel with CONFIG_SECCOMP_FILTER is needed"
            )
        )
        let landlock = auspex_landlock_version()
        probes.append(
            SandboxProbe(name: "landlock", state: .info, detail: landlock > 0 ? "version \(landlock), not needed" : "not there, not needed")
        )
        return probes
    }

    /// What bubblewrap complains of with these arguments; nil when it is content.
    private func tried(_ arguments: [String]) async -> String? {
        do {
            let (code, output) = try await cpu.run { try ChildProcess.run(path: "/usr/bin/bwrap", arguments: arguments) }
            if code == 0 { return nil }
            return output.split(separator: "\n").first.map { String($0.prefix(200)) } ?? "bwrap ended with code \(code)"
        } catch {
            return "\(error)"
        }
    }

    /// A trial run; true when it was contained.
    private func trial(_ host: SandboxHost, _ name: String, into report: inout Report) async -> Bool {
        switch await ContainmentTrial(host: host, loops: loops, cpu: cpu).run() {
        case .didNotRun(let reason):
            report.probes.append(SandboxProbe(name: name, state: .missing, detail: reason))
            return false
        case .ran(let checks):
            for (check, complaint) in checks {
                report.probes.removeAll { $0.name == check }
                report.probes.append(SandboxProbe(name: check, state: complaint == nil ? .ok : .missing, detail: complaint ?? "contained"))
            }
            let isContained = checks.allSatisfy { $0.complaint == nil }
            report.probes.append(SandboxProbe(name: name, state: isContained ? .ok : .missing, detail: isContained ? "contained" : "not contained"))
            return isContained
        }
    }

    private func userNamespaceRemedy() -> String {
        if Self.firstLine("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
            return "AppArmor forbids them: set kernel.apparmor_restrict_unprivileged_userns=0 or give bwrap a profile"
        }
        if Self.firstLine("/proc/sys/kernel/unprivileged_userns_clone") == "0" { return "set kernel.unprivileged_userns_clone=1" }
        if Self.firstLine("/proc/sys/user/max_user_namespaces") == "0" { return "set user.max_user_namespaces above 0" }
        return "in a container its seccomp profile forbids them: use var/compose/executor-seccomp.json, which ./auspex compose makes"
    }

    private static func firstLine(_ path: String) -> String {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        return String(decoding: data.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
}
