internal import ServiceRuntime

/// Decides when the queue of a retired consumer loses its bindings, and who handles what is in it.
///
/// While replicas of the version before are there, they may take an event elsewhere and leave to this queue what newer ones do at once. So it keeps its
/// bindings for as long as anybody else consumes it, and for a while longer: a replica that is started again binds it anew, and what one had in its
/// outbox when it ended is said by others. What comes in meanwhile is handled here and there, which the handler has to bear as it bears an event that
/// comes twice.
///
/// The broker tells how many consume a queue, not which version they are of. So of this version one replica alone has the duty, which the broker gives to
/// one connection at a time: whoever else consumes is an older one. (Nor could others fetch single messages: to the broker a quorum queue's message that is
/// fetched and not answered has a consumer.)
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

    private static let longestPauseNanoseconds: UInt64 = 15_000_000_000

    init(patience: Duration) {
        patienceNanoseconds = UInt64(max(0, patience.inSeconds) * 1e9)
    }

    /// Takes what the broker says of the queue: the messages that wait in it, and how many besides us consume it.
    mutating func look(messages: Int, others: Int, now: UInt64) -> Step {
        pause(now: now)
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

    /// Another replica of this version has the duty; when it is gone one of the others does, and waits anew.
    mutating func leave(now: UInt64) {
        (aloneSince, isUnbound) = (nil, false)
        pause(now: now)
    }

    private mutating func pause(now: UInt64) { nextLook = now + min(Self.longestPauseNanoseconds, patienceNanoseconds / 8) }

    /// The next look is due at once.
    mutating func hurry() { nextLook = 0 }
}
