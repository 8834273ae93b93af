/// A signal no longer runs.
public struct SignalUnpublished: EventBody, Hashable {
    /// `signals.signal.unpublished.v1`.
    public static let eventType = "signals.signal.unpublished.v1"
    /// The signal.
    public let signalID: SignalID
    /// Its provider.
    public let accountID: AccountID
    /// Why, for people.
    public let reason: String

    /// The signal.
    public var subject: String { signalID.description }

    /// All fields.
    public init(
        signalID: SignalID,
        accountID: AccountID,
        reason: String
    ) {
        self.signalID = signalID
        self.accountID = accountID
        self.reason = reason
    }
}
