/// What becomes of a due time while a run of the same signal has not ended.
public enum OverlapRule: String, Sendable, Hashable, Codable, CaseIterable {
    /// It is left out.
    case skip
    /// It runs when that run has ended; while one waits so, further ones are left out.
    case bufferOne = "buffer_one"
    /// All run, one after the other; only so many may wait.
    case bufferAll = "buffer_all"
    /// That run is asked to stop; this one begins when it has ended.
    case cancelOther = "cancel_other"
    /// That run ends at once, and this one begins.
    case terminateOther = "terminate_other"
    /// Both run.
    case allowAll = "allow_all"
}

/// What a manifest says of its schedule besides the grid of due times.
public struct SchedulePolicy: Sendable, Hashable {
    /// What becomes of a due time while an earlier run has not ended.
    public var overlap: OverlapRule
    /// For how long a due time that nobody could see to is still run; nil until its successor is due, ten seconds at least.
    public var catchUpSeconds: Int?
    /// A run becomes claimable up to so long after its due time, always by the same for the same due time; the due time stays on the grid.
    public var jitterSeconds: Int
    /// Nothing is due before this.
    public var startAt: Timestamp?
    /// Nothing is due after this.
    public var endAt: Timestamp?
    /// So many failed runs in a row pause the schedule; nil never.
    public var pauseAfterFailures: Int?
    /// An instrument: what is due while its market is closed is left out.
    public var inSession: String?

    /// The defaults.
    public init(
        overlap: OverlapRule = .skip,
        catchUpSeconds: Int? = nil,
        jitterSeconds: Int = 0,
        startAt: Timestamp? = nil,
        endAt: Timestamp? = nil,
        pauseAfterFailures: Int? = nil,
        inSession: String? = nil
    ) {
        self.overlap = overlap
        self.catchUpSeconds = catchUpSeconds
        self.jitterSeconds = jitterSeconds
        self.startAt = startAt
        self.endAt = endAt
        self.pauseAfterFailures = pauseAfterFailures
        self.inSession = inSession
    }
}

extension SchedulePolicy {
    /// Whether something may be due then.
    public func contains(_ due: Timestamp) -> Bool { (startAt ?? .distantPast) <= due && due <= (endAt ?? .distantFuture) }

    /// Windows that a manifest may choose: from the least that a restart of the scheduler takes to a month.
    public static let catchUpRange = 10...31 * 86_400
    /// How far a run may be moved behind its due time.
    public static let jitterRange = 0...3_600
    /// How many failed runs in a row a manifest may name.
    public static let failureRange = 1...1_000
}

extension SchedulePolicy: Codable {
    private enum CodingKeys: CodingKey { case overlap, catchUpSeconds, jitterSeconds, startAt, endAt, pauseAfterFailures, inSession }

    /// Reads an object in which every key may be missing.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            overlap: try container.decodeIfPresent(OverlapRule.self, forKey: .overlap) ?? .skip,
            catchUpSeconds: try container.decodeIfPresent(Int.self, forKey: .catchUpSeconds),
            jitterSeconds: try container.decodeIfPresent(Int.self, forKey: .jitterSeconds) ?? 0,
            startAt: try container.decodeIfPresent(Timestamp.self, forKey: .startAt),
            endAt: try container.decodeIfPresent(Timestamp.self, forKey: .endAt),
            pauseAfterFailures: try container.decodeIfPresent(Int.self, forKey: .pauseAfterFailures),
            inSession: try container.decodeIfPresent(String.self, forKey: .inSession)
        )
    }
}

// The synthesised coding of a manifest takes these: what was published before there were policies has none, and what has none but the defaults is
// written as it was before, so that it keeps its hash.
extension KeyedDecodingContainer {
    func decode(_ type: SchedulePolicy.Type, forKey key: Key) throws -> SchedulePolicy {
        try decodeIfPresent(type, forKey: key) ?? SchedulePolicy()
    }
}

extension KeyedEncodingContainer {
    mutating func encode(_ policy: SchedulePolicy, forKey key: Key) throws {
        if policy == SchedulePolicy() { return }
        try encodeIfPresent(policy, forKey: key)
    }
}
