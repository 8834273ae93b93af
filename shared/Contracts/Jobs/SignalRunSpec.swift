/// A file of a signal's code, by hash.
public struct CodeFile: Sendable, Hashable, Codable {
    /// Where it lies, relative to the code's folder.
    public var path: String
    /// Its name in the blob store.
    public var sha256: SHA256Digest
    /// How long it is.
    public var bytes: Int64

    /// All fields.
    public init(path: String, sha256: SHA256Digest, bytes: Int64) {
        self.path = path
        self.sha256 = sha256
        self.bytes = bytes
    }
}

/// `spec` of the kinds `signal_run` and `dry_run`.
public struct SignalRunSpec: Sendable, Hashable, Codable {
    /// The signal.
    public var signalID: SignalID
    /// The version of its code.
    public var versionID: SignalVersionID
    /// The hash of that version.
    public var versionSHA256: SHA256Digest
    /// The code.
    public var files: [CodeFile]
    /// What the code says of itself.
    public var manifest: Manifest
    /// The due time's row; nil for a dry run.
    public var occurrenceID: OccurrenceID?
    /// When the run was due.
    public var dueAt: Timestamp
    /// Nothing known later may be read.
    public var asOf: Timestamp
    /// Where the bars come from.
    public var feed: FeedKind

    /// All fields.
    public init(
        signalID: SignalID,
        versionID: SignalVersionID,
        versionSHA256: SHA256Digest,
        files: [CodeFile],
        manifest: Manifest,
        occurrenceID: OccurrenceID?,
        dueAt: Timestamp,
        asOf: Timestamp,
        feed: FeedKind
    ) {
        self.signalID = signalID
        self.versionID = versionID
        self.versionSHA256 = versionSHA256
        self.files = files
        self.manifest = manifest
        self.occurrenceID = occurrenceID
        self.dueAt = dueAt
        self.asOf = asOf
        self.feed = feed
    }
}
