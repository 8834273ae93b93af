import Contracts

/// What an account may have in the ledger at once unless `account_limits` says otherwise. The platform's own account is bound by none of it.
struct AccountLimits: Sendable, Hashable {
    /// Jobs of one class that run at once.
    var runningInClass = 64
    /// Jobs of all classes together that run at once, but for the class `signal`: its slots are reserved, and long jobs must not make signals late.
    var running = 256
    /// Jobs that wait or run.
    var open = 10_000
}

/// How full the queue of an account is.
struct QueueStanding: Sendable, Hashable {
    /// Jobs that wait or run; counted no further than one beyond the limit.
    let open: Int
    /// The most that it may have.
    let most: Int
    /// What its plan allows at best; nil leaves it to the role.
    let priorityCap: Priority?
}

extension JobKind {
    /// Work of the platform that is done for an account without its asking. A full queue holds none of it up: nobody may put off the measuring of his own
    /// record by asking for other things.
    static let unasked: [JobKind] = [.settlement, .resampleAll, .tableConversion]
}

extension NewJob {
    /// Whether the queue's limit of its account applies to it.
    var countsAgainstQueue: Bool { accountID != .platform && !JobKind.unasked.contains(kind) }
}
