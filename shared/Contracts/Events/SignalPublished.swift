/// A version of a signal is live; the latest one counts.
public struct SignalPublished: EventBody, Hashable {
    /// `signals.signal.published.v1`.
    public static let eventType = "signals.signal.published.v1"
    /// The signal.
    public let signalID: SignalID
    /// Its provider.
    public let accountID: AccountID
    /// The version.
    public let versionID: SignalVersionID
    /// The hash of that version.
    public let versionSHA256: SHA256Digest
    /// Its code.
    public let files: [CodeFile]
    /// What the code says of itself.
    public let manifest: Manifest
    /// Where its bars come from.
    public let feed: FeedKind
    /// When it was published.
    public let publishedAt: Timestamp

    /// The signal.
    public var subject: String { signalID.description }

    /// All fields.
    public init(
        signalID: SignalID,
        accountID: AccountID,
        versionID: SignalVersionID,
        versionSHA256: SHA256Digest,
        files: [CodeFile],
        manifest: Manifest,
        feed: FeedKind,
        publishedAt: Timestamp
    ) {
        self.signalID = signalID
        self.accountID = accountID
        self.versionID = versionID
        self.versionSHA256 = versionSHA256
        self.files = files
        self.manifest = manifest
        self.feed = feed
        self.publishedAt = publishedAt
    }
}
