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
        /// One line each, with a mark: what is there and what is missing.
        var lines: [String] = []
        /// What runs can use; nil when even the least sandbox does not work.
        var host: SandboxHost?
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
            throw SandboxError.refused("no sandbox works on this machine: \(report.lines.joined(separator: "; "))")
        }
        if configuration.leastLevel == .full, host.level == .reduced {
            throw SandboxError.refused(
                "AUSPEX_SANDBOX_LEVEL demands full, but this machine allows only reduced: \(report.lines.joined(separator: "; "))"
            )
        }
        return (host, report)
    }

    /// Looks at everything that sandboxes need.
    func examine() async -> Report {
        var report = Report()
        let isRoot = geteuid() == 0
        report.lines.append("user: \(isRoot ? "root, runs get users \(configuration.firstUserID) and up" : "id \(geteuid()), runs keep it")")
        guard access(configuration.launcher, X_OK) == 0 else {
            report.lines.append("launcher: missing, \(configuration.launcher) is no program")
            return report
        }
        guard access("/usr/bin/bwrap", X_OK) == 0 else {
            report.lines.append("bubblewrap: missing, install the package bubblewrap")
            return report
        }
        guard access(interpreter(configuration.systemRoot), X_OK) == 0 else {
            report.lines.append("python: missing, \(interpreter(configuration.systemRoot)) is no program")
            return report
        }
        let launcher = configuration.launcher
        let name = configuration.cgroupName
        let probe = (try? await cpu.run { try ChildProcess.run(path: launcher, arguments: ["probe", name]).output }) ?? ""
        let folders = SandboxHost.parse(probe: probe)
        report.lines.append("cgroups: \(folders.isEmpty ? "none that may be used" : folders.map(\.value).joined(separator: " "))")
        var host = SandboxHost(
            launcher: launcher,
            cgroups: folders,
            level: .full,
            systemRoot: configuration.systemRoot,
            firstUserID: isRoot ? configuration.firstUserID : nil
        )
        if SandboxHost.isComplete(folders) {
            if let complaint = await trial(host) {
                report.lines.append("trial run, full: \(complaint)")
            } else {
                report.lines.append("trial run, full: contained")
                report.host = host
                return report
            }
        }
        host.level = .reduced
        host.cgroups = []
        if let complaint = await trial(host) {
            report.lines.append("trial run, reduced: \(complaint)\(await userNamespaceHint())")
        } else {
            report.lines.append("trial run, reduced: contained")
            report.host = host
        }
        return report
    }

    private func interpreter(_ root: String) -> String { root == "/" ? "/usr/bin/python3" : "\(root)/usr/bin/python3" }

    /// Runs a program that looks for what a sandbox must not have; nil when it found nothing, otherwise what was wrong.
    private func trial(_ host: SandboxHost) async -> String? {
        var limits = SandboxLimits.of(.small, wallTime: .seconds(20))
        limits.memoryBytes = 128 << 20
        let command = SandboxCommand(arguments: ["/usr/bin/python3", "-ISB", "-c", Self.program], limits: limits)
        do {
            let outcome = try await Sandbox(host: host, loops: loops, cpu: cpu).run(command)
            let answer = String(decoding: outcome.result, as: UTF8.self)
            if answer == "contained" { return nil }
            return answer.isEmpty ? "no answer, exit code \(outcome.exitCode): \(outcome.log.text.prefix(utf8Bytes: 300))" : answer
        } catch {
            return "\(error)"
        }
    }

    private func userNamespaceHint() async -> String {
        func read(_ path: String) -> String {
            let data = FileManager.default.contents(atPath: path) ?? Data()
            return String(decoding: data.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        }
        if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
            return "; AppArmor forbids user namespaces: set kernel.apparmor_restrict_unprivileged_userns=0 or give bwrap a profile"
        }
        if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" { return "; set kernel.unprivileged_userns_clone=1" }
        if read("/proc/sys/user/max_user_namespaces") == "0" { return "; set user.max_user_namespaces above 0" }
        return ""
    }

    private static let program = """
        import os, errno
        found = []
        status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
        if status["NoNewPrivs"].strip() != "1": found.append("new privileges are possible")
        if status["Seccomp"].strip() != "2": found.append("no system call filter")
        if int(status["CapEff"], 16) or int(status["CapBnd"], 16): found.append("capabilities are left")
        if os.getuid() != 1000: found.append("the user is %d" % os.getuid())
        for path in ("/etc/shadow", "/root", "/home", "/var", "/sys", "/run"):
            if os.path.lexists(path): found.append(path + " is there")
        for path in ("/stranger", "/usr/stranger", "/dev/stranger"):
            try: open(path, "w"); found.append(path + " can be written")
            except OSError: pass
        if sorted(os.listdir("/proc/self/fd"))[:5] != ["0", "1", "2", "3", "4"] or len(os.listdir("/proc/self/fd")) > 6:
            found.append("descriptors are left open: " + " ".join(os.listdir("/proc/self/fd")))
        if [name for name in os.listdir("/proc") if name.isdigit() and int(name) > 10]: found.append("other processes are seen")
        devices = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
        if devices != ["lo"]: found.append("network devices: " + " ".join(devices))
        os.write(3, ("; ".join(found) or "contained").encode())
        os._exit(0)
        """
}
