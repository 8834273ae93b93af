/// Why a sandbox could not be made or used: always a fault of the machine or of Auspex, never of the code that was to run.
enum SandboxError: Error, Sendable, CustomStringConvertible {
    /// A system call failed.
    case system(call: String, code: Int32)
    /// The launcher could not begin the run.
    case launcher(String)
    /// The run began, but what it said about its end cannot be read.
    case garbled(String)
    /// The machine offers less than is demanded.
    case refused(String)

    /// The error in a line.
    var description: String {
        switch self {
        case .system(let call, let code): "\(call): error \(code)"
        case .launcher(let reason): "the sandbox did not start: \(reason)"
        case .garbled(let text): "the sandbox launcher's status cannot be read: \(text)"
        case .refused(let reason): reason
        }
    }
}
