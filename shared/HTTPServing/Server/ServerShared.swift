internal import ServiceRuntime
internal import Synchronization

/// What all loops of a server share: the clock that its limits go by, and what they count together.
final class ServerShared: Sendable {
    /// What befalls a connection, for tests that wait for it instead of guessing how long it takes.
    enum Event: Sendable, Hashable {
        case accepted
        case headBegun
        case bodyBegun
        /// An answer is out, or queued for a client that takes it slowly.
        case answered
        /// No further request is read before the client has taken the answers that it asked for.
        case heldBack
        /// The client has said its last; a handler that was to be cancelled for it has been.
        case inputEnded
        case closed
        /// A loop has looked at the limits of all its connections.
        case swept
    }

    let time: any TimeSource
    let observe: (@Sendable (Event) -> Void)?
    let connections = Atomic<Int>(0)
    let bufferedBytes = Atomic<Int>(0)
    let isDraining = Atomic<Bool>(false)

    init(time: any TimeSource, observe: (@Sendable (Event) -> Void)?) {
        self.time = time
        self.observe = observe
    }
}
