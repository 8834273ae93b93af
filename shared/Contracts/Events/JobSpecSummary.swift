/// What signals must know of a run's spec to record its rows.
public struct JobSpecSummary: Sendable, Hashable, Codable {
    /// The signal.
    public let signalID: SignalID
    /// The version of its code.
    public let versionID: SignalVersionID
    /// The hash of that version.
    public let versionSHA256: SHA256Digest
    /// The due time's row; nil for a dry run.
    public let occurrenceID: OccurrenceID?
    /// When the run was due.
    public let dueAt: Timestamp
    /// Nothing known later was read.
    public let asOf: Timestamp
    /// Where the bars came from.
    public let feed: FeedKind
    /// How long after the due time a prediction still counts as on time, in seconds.
    public let deadlineSeconds: Int
    /// What the rows must look like.
    public let output: ManifestOutput

    /// All fields.
    public init(
        signalID: SignalID,
        versionID: SignalVersionID,
        versionSHA256: SHA256Digest,
        occurrenceID: OccurrenceID?,
        dueAt: Timestamp,
        asOf: Timestamp,
        feed: FeedKind,
        deadlineSeconds: Int,
        output: ManifestOutput
    ) {
        self.signalID = signalID
        self.versionID = versionID
        self.versionSHA256 = versionSHA256
        self.occurrenceID = occurrenceID
        self.dueAt = dueAt
        self.asOf = asOf
        self.feed = feed
        self.deadlineSeconds = deadlineSeconds
        self.output = output
    }

    /// The part of a spec that the event carries.
    public init(of spec: SignalRunSpec) {
        self.init(
            signalID: spec.signalID,
            versionID: spec.versionID,
            versionSHA256: spec.versionSHA256,
            occurrenceID: spec.occurrenceID,
            dueAt: spec.dueAt,
            asOf: spec.asOf,
            feed: spec.feed,
            deadlineSeconds: spec.manifest.deadlineSeconds,
            output: spec.manifest.output
        )
    }
}
