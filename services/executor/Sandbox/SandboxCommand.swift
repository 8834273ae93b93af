/// A folder or file of the host as the sandbox sees it.
struct SandboxMount: Sendable, Hashable {
    /// The path on the host.
    var source: String
    /// The absolute path inside.
    var target: String
    /// Whether the code inside may write there; only builds of environments do.
    var writable = false
}

/// One program to run in a sandbox, complete but for the machine that it runs on.
struct SandboxCommand: Sendable {
    /// The program's path inside and its arguments.
    var arguments: [String]
    /// What it sees besides the interpreter.
    var mounts: [SandboxMount] = []
    /// All its environment variables but the few that every run has.
    var environment: [String: String] = [:]
    /// Its input, mapped at descriptor 4.
    var input: InputFrame?
    /// Whether it shares the host's network: only builds of environments do.
    var network = false
    /// What it may use.
    var limits: SandboxLimits
}
