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
    /// What a sandbox is for.
    enum Purpose: Sendable {
        /// An author's code: no network, a user of its own.
        case run
        /// The building of an environment by a trusted program: the user that owns the folder of downloads.
        case build(userID: UInt32?)
    }

    /// The program's path inside and its arguments.
    var arguments: [String]
    /// What it sees besides the interpreter.
    var mounts: [SandboxMount] = []
    /// All its environment variables but the few that every run has.
    var environment: [String: String] = [:]
    /// Its input, mapped at descriptor 4.
    var input: InputFrame?
    /// For a program that takes its input over the channel at descriptor 4: the first message, about what is known before the run.
    var preparation: [UInt8]?
    /// Device files of the graphics processor that it has to itself.
    var devices: [String] = []
    /// Its way to the package index, handed out at descriptor 4; builds have one.
    var door: BuildDoor?
    /// What it is for.
    var purpose = Purpose.run
    /// What it may use.
    var limits: SandboxLimits
}
