/// What became of the due times of a stretch of time.
public struct CadenceCounts: Sendable, Hashable {
    /// Recorded in time.
    public var onTime: Int64 = 0
    /// Recorded, but made or recorded too late.
    public var late: Int64 = 0
    /// Nobody could run it in time.
    public var missed: Int64 = 0
    /// Begun, and failed.
    public var failed: Int64 = 0
    /// Fired, and not recorded so far.
    public var unrecorded: Int64 = 0
    /// Left out by a rule, by its name.
    public var skippedByReason: [String: Int64] = [:]

    /// Nothing was due.
    public init() {}

    /// All that was left out.
    public var skipped: Int64 { skippedByReason.values.reduce(0, +) }
    /// All of them.
    public var due: Int64 { onTime + late + missed + failed + unrecorded + skipped }

    /// The part of the due times that was recorded in time, of those at which there was something to predict: while a market is closed, or when nobody traded,
    /// nothing could be. Nil when there were none.
    public var shareOnTime: Double? {
        let possible = due - skippedByReason["calendar", default: 0] - skippedByReason["no_bar", default: 0]
        return possible == 0 ? nil : Double(onTime) / Double(possible)
    }

    /// Adds those of another stretch.
    public static func += (left: inout CadenceCounts, right: CadenceCounts) {
        left.onTime += right.onTime
        left.late += right.late
        left.missed += right.missed
        left.failed += right.failed
        left.unrecorded += right.unrecorded
        left.skippedByReason.merge(right.skippedByReason, uniquingKeysWith: +)
    }
}

extension CadenceCounts: Encodable {
    private enum CodingKeys: CodingKey { case due, onTime, late, missed, skipped, skippedByReason, failed, unrecorded, shareOnTime }

    /// Writes them as answers show them, with the sums and the share to four places.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(due, forKey: .due)
        try container.encode(onTime, forKey: .onTime)
        try container.encode(late, forKey: .late)
        try container.encode(missed, forKey: .missed)
        try container.encode(skipped, forKey: .skipped)
        try container.encode(skippedByReason, forKey: .skippedByReason)
        try container.encode(failed, forKey: .failed)
        try container.encode(unrecorded, forKey: .unrecorded)
        try container.encodeIfPresent(shareOnTime.map { ($0 * 10_000).rounded() / 10_000 }, forKey: .shareOnTime)
    }
}
