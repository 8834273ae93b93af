internal import Synchronization

/// Why a job's task was cancelled; a handler that runs something which cannot be cancelled politely asks for it.
public final class JobInterruption: Sendable {
    /// Why a job has to stop.
    public enum Reason: Sendable, Hashable {
        /// Somebody cancelled it: it may end in order, within a few seconds.
        case cancelRequested
        /// Its lease is lost or about to be: it must be gone at once, another worker may begin it.
        case leaseLost
        /// This worker stops: it must be gone at once, and is given back.
        case draining

        /// Whether the job must be killed without being asked first.
        public var isImmediate: Bool { self != .cancelRequested }
    }

    private let state = Mutex<Reason?>(nil)

    /// No reason yet.
    public init() {}

    /// The reason, once there is one.
    public var reason: Reason? { state.withLock { $0 } }

    /// Says why, before the task is cancelled; a more pressing reason replaces a lesser one.
    public func say(_ reason: Reason) {
        state.withLock { if $0?.isImmediate != true { $0 = reason } }
    }

    /// The one of the job that the current task does.
    @TaskLocal public static var current: JobInterruption?
}
