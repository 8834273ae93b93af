/// An account gained or lost access to a signal.
public struct SubscriptionChanged: EventBody, Hashable {
    /// `signals.subscription.changed.v1`.
    public static let eventType = "signals.subscription.changed.v1"
    /// The subscription.
    public let subscriptionID: SubscriptionID
    /// Who has or had access.
    public let accountID: AccountID
    /// To what.
    public let signalID: SignalID
    /// Whether there is access now.
    public let active: Bool

    /// The subscription.
    public var subject: String { subscriptionID.description }

    /// All fields.
    public init(
        subscriptionID: SubscriptionID,
        accountID: AccountID,
        signalID: SignalID,
        active: Bool
    ) {
        self.subscriptionID = subscriptionID
        self.accountID = accountID
        self.signalID = signalID
        self.active = active
    }
}
