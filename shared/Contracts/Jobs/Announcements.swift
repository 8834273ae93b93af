/// Body of `POST /internal/v1/announcements`: asks what is due soon, so that sandboxes are warm by then.
public struct AnnouncementsRequest: Sendable, Hashable, Codable {
    /// How far ahead anybody may look, in seconds.
    public static let maximumHorizonSeconds = 60
    /// Due times in one answer at most; the earliest come first.
    public static let maximumAnnouncements = 1_000

    /// Who asks.
    public var worker: String
    /// How far ahead it looks, in seconds.
    public var horizonSeconds: Int

    /// Both fields.
    public init(worker: String, horizonSeconds: Int) {
        self.worker = worker
        self.horizonSeconds = horizonSeconds
    }
}

/// What is due within the horizon, the earliest first.
public struct AnnouncementsAnswer: Sendable, Hashable, Codable {
    /// One a schedule.
    public var announcements: [Announcement]

    /// The field.
    public init(announcements: [Announcement]) { self.announcements = announcements }
}

/// A run that is expected: no promise, for until then the schedule may be paused, republished or taken down.
public struct Announcement: Sendable, Hashable, Codable {
    /// The schedule.
    public var scheduleID: ScheduleID
    /// Its signal.
    public var signalID: SignalID
    /// Whose it is: sandboxes are warmed for one account and never shared.
    public var accountID: AccountID
    /// When it is due; for a schedule that waits for bars, the expected end of the running bar.
    public var dueAt: Timestamp
    /// The version that would run.
    public var versionID: SignalVersionID
    /// The hash of that version.
    public var versionSHA256: SHA256Digest
    /// Its code.
    public var files: [CodeFile]
    /// What the code says of itself.
    public var manifest: Manifest
    /// Reads these files and nothing else (a JWT for `X-Auspex-Job`).
    public var token: String

    /// The kind that the token names: no job has it.
    public static let tokenKind = JobKind("announcement")

    /// All fields.
    public init(
        scheduleID: ScheduleID,
        signalID: SignalID,
        accountID: AccountID,
        dueAt: Timestamp,
        versionID: SignalVersionID,
        versionSHA256: SHA256Digest,
        files: [CodeFile],
        manifest: Manifest,
        token: String
    ) {
        self.scheduleID = scheduleID
        self.signalID = signalID
        self.accountID = accountID
        self.dueAt = dueAt
        self.versionID = versionID
        self.versionSHA256 = versionSHA256
        self.files = files
        self.manifest = manifest
        self.token = token
    }
}
