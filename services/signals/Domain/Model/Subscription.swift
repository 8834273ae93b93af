import Contracts

/// An account's access to a signal's predictions.
struct Subscription: Sendable, Hashable {
    var id: SubscriptionID
    var accountID: AccountID
    var signalID: SignalID
    var active: Bool
    /// The subject version of the subscription's events.
    var version: Int64
    var createdAt: Timestamp
    var endedAt: Timestamp?
}

/// A run by hand of one version, for its author only.
struct DryRun: Sendable, Hashable {
    var jobID: JobID
    var signalID: SignalID
    var versionID: SignalVersionID
    var accountID: AccountID
    var createdAt: Timestamp
}

/// A file's worth of bytes that an account has sent.
struct Upload: Sendable, Hashable {
    var accountID: AccountID
    var sha256: SHA256Digest
    var bytes: Int
    var uploadedAt: Timestamp
}

/// What marketdata said of an instrument.
struct KnownInstrument: Sendable, Hashable {
    var id: InstrumentID
    var symbol: String
    var assetClass: String
    var feed: FeedKind
    var active: Bool
    var version: Int64
}

/// What auth said of an account.
struct KnownAccount: Sendable, Hashable {
    var id: AccountID
    var userID: UserID
    var roles: [String]
    var version: Int64
}

/// What the scheduler said of a signal's due times.
struct CadenceRecord: Sendable, Hashable {
    /// The latest due time whose outcome was told. A run that was due before it may end after it; that is then news of the older time.
    var lastDueAt: Timestamp?
    var lastOutcome: OccurrenceOutcome?
    var lastReason: String?
    var nextDueAt: Timestamp?
    /// Of the newest event.
    var version: Int64
}
