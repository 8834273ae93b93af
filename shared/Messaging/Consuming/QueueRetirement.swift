internal import ServiceRuntime

/// Decides when the queue of a retired consumer loses its bindings, and who handles what is in it.
///
/// While replicas of the version before are there, they may take an event elsewhere and leave to this queue what newer ones do at once. So it keeps its
/// bindings for as long as anybody else consumes it, and for a while longer: a replica that is started again binds it anew, and what one had in its
/// outbox when it ended is said by others. What comes in meanwhile is handled here and there, which the handler has to bear as it bears an event that
/// comes twice.
///
/// The broker tells how many consume a queue, not which version they are of. So a replica of this version consumes only what nobody else does, and only
/// while something is there: whoever is seen at a quiet queue is an older one, and of two newer ones that meet the first to look steps back.
struct QueueRetirement {
    /// What to do after a look.
    struct Step: Equatable {
        var unbinds = false
        var consumes = false
    }

    private let patienceNanoseconds: UInt64
    private var aloneSince: UInt64?
    private var isUnbound = false
    private(set) var nextLook: UInt64 = 0

    private static let longestPauseSeconds = 15.0

    init(patience: Duration) {
        patienceNanoseconds = UInt64(max(0, patience.inSeconds) * 1e9)
    }

    /// Takes what the broker says of the queue: the messages that wait in it, and how many besides us consume it.
    mutating func look(messages: Int, others: Int, now: UInt64) -> Step {
        // Not in step with another replica, or both would step back and both come again.
        let pauseNanoseconds = min(Self.longestPauseSeconds * 1e9, Double(patienceNanoseconds)) * .random(in: 0.8...1.2)
        nextLook = now + UInt64(pauseNanoseconds)
        guard others == 0 else {
            (aloneSince, isUnbound) = (nil, false)
            return Step()
        }
        // Something came in all the same: a replica that came and went between two looks has bound it anew, or what was put back is there again.
        if isUnbound, messages > 0 { (aloneSince, isUnbound) = (nil, false) }
        let since = aloneSince ?? now
        aloneSince = since
        let unbinds = !isUnbound && now - since >= patienceNanoseconds
        if unbinds { isUnbound = true }
        return Step(unbinds: unbinds, consumes: messages > 0)
    }

    /// The next look is due at once.
    mutating func hurry() { nextLook = 0 }
}
