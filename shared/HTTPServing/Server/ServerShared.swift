internal import Synchronization

/// What all loops of a server count together.
final class ServerShared: Sendable {
    let connections = Atomic<Int>(0)
    let bufferedBytes = Atomic<Int>(0)
    let isDraining = Atomic<Bool>(false)
}
