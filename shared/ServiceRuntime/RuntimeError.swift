/// What can go wrong in the machinery below a service.
public enum RuntimeError: Error, Sendable, CustomStringConvertible {
    /// libevent gave no loop.
    case loopNotStarted(name: String)
    /// The system gave no thread; `code` is the errno of `pthread_create`.
    case threadNotStarted(name: String, code: Int32)
    /// A program could not be started; `code` is the errno.
    case programNotStarted(name: String, code: Int32)
    /// A component did not start.
    case componentNotStarted(name: String, reason: String)

    /// The error in a line.
    public var description: String {
        switch self {
        case .loopNotStarted(let name): "event loop \(name) could not be started"
        case .threadNotStarted(let name, let code): "thread \(name) could not be started (errno \(code))"
        case .programNotStarted(let name, let code): "program \(name) could not be started (errno \(code))"
        case .componentNotStarted(let name, let reason): "\(name) could not be started: \(reason)"
        }
    }
}
