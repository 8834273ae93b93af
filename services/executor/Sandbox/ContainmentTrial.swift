import Contracts
import ServiceRuntime

/// A trial run: a program in the sandbox that looks for what a sandbox must not have.
struct ContainmentTrial: Sendable {
    /// What is looked at, in words for an operator, in the order of the program's answers.
    static let checks = [
        "no new privileges", "system call filter", "no capabilities", "user of its own", "host's files hidden", "read-only system",
        "no open descriptors", "other processes hidden", "no network", "kernel's command line hidden", "foreign sockets refused",
    ]

    private let host: SandboxHost
    private let loops: [EventLoop]
    private let cpu: CPUPool

    init(host: SandboxHost, loops: [EventLoop], cpu: CPUPool) {
        self.host = host
        self.loops = loops
        self.cpu = cpu
    }

    /// What came of it: each check with what it found against the sandbox, or why there was no trial at all.
    enum Outcome: Sendable {
        /// All checks, with the complaint of those that failed.
        case ran([(check: String, complaint: String?)])
        /// The sandbox did not start.
        case didNotRun(String)

        /// What is wrong, in a line; nil when everything is contained.
        var complaint: String? {
            switch self {
            case .didNotRun(let reason): return reason
            case .ran(let checks):
                let complaints = checks.compactMap { check in check.complaint.map { "\(check.check): \($0)" } }
                return complaints.isEmpty ? nil : complaints.joined(separator: "; ")
            }
        }
    }

    /// Runs it.
    func run() async -> Outcome {
        var limits = SandboxLimits.of(.small, wallTime: .seconds(20))
        limits.memoryBytes = 128 << 20
        let command = SandboxCommand(arguments: ["/usr/bin/python3", "-ISB", "-c", Self.program], limits: limits)
        let outcome: SandboxOutcome
        do {
            outcome = try await Sandbox(host: host, loops: loops, cpu: cpu).run(command)
        } catch {
            return .didNotRun("\(error)")
        }
        let answers = String(decoding: outcome.result, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        guard answers.count == Self.checks.count else {
            return .didNotRun("no answer, exit code \(outcome.exitCode): \(outcome.log.text.prefix(utf8Bytes: 300))")
        }
        return .ran(zip(Self.checks, answers).map { ($0, $1.isEmpty ? nil : String($1)) })
    }

    /// Says one line for each check: empty, or what is wrong.
    private static let program = """
        import os, errno, socket
        answers = []
        def answer(*found): answers.append("; ".join(str(one) for one in found if one).replace("\\n", " "))
        status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
        answer(status["NoNewPrivs"].strip() != "1" and "new privileges are possible")
        answer(status["Seccomp"].strip() != "2" and "there is none")
        answer(*(name + status[name].rstrip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)))
        answer(os.getuid() != 1000 and "it is %d" % os.getuid())
        answer(*(path + " is there" for path in ("/etc", "/root", "/home", "/var", "/sys", "/run") if os.path.lexists(path)))
        def writable(path):
            try: open(path, "w").close(); return path + " can be written"
            except OSError: return None
        answer(*(writable(path) for path in ("/stranger", "/usr/stranger", "/dev/stranger", "/proc/sys/kernel/core_pattern")))
        open_files = sorted(os.listdir("/proc/self/fd"))
        answer((open_files[:4] != ["0", "1", "2", "3"] or len(open_files) > 6) and "there are " + " ".join(open_files))
        answer([name for name in os.listdir("/proc") if name.isdigit() and int(name) > 10] and "they are seen")
        devices = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
        answer(devices != ["lo"] and "there are " + " ".join(devices))
        def readable(path):
            try: open(path).read(1); return path + " can be read"
            except OSError: return None
        answer(readable("/proc/cmdline"))
        def opens(family):
            try: socket.socket(family, socket.SOCK_RAW if family == 16 else socket.SOCK_STREAM).close(); return "family %d opens" % family
            except OSError as error: return None if error.errno == errno.EAFNOSUPPORT else "family %d: %s" % (family, error)
        answer(*(opens(family) for family in (16, 38, 40)))
        os.write(3, ("\\n".join(answers) + "\\n").encode())
        os._exit(0)
        """
}
