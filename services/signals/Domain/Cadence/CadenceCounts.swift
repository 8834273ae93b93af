import Contracts

/// What became of a signal's due times in a stretch of days.
struct CadenceCounts: Sendable, Hashable {
    var onTime: Int64 = 0
    var late: Int64 = 0
    var missed: Int64 = 0
    var failed: Int64 = 0
    /// Begun, and not recorded so far.
    var unrecorded: Int64 = 0
    var skippedByReason: [String: Int64] = [:]

    var skipped: Int64 { skippedByReason.values.reduce(0, +) }
    var due: Int64 { onTime + late + missed + failed + unrecorded + skipped }

    /// The part of the due times that was recorded in time, of those at which there was something to predict, as the scheduler counts it for providers.
    /// Nil when there were none.
    var shareOnTime: Double? {
        let possible = due - skippedByReason["calendar", default: 0] - skippedByReason["no_bar", default: 0]
        return possible == 0 ? nil : Double(onTime) / Double(possible)
    }

    /// The reasons that everybody may read. Any other is counted as `other`: nothing that a provider or a run has said gets out this way.
    static let publicReasons: Set<String> = ["overlap", "calendar", "no_bar", "paused"]

    init() {}

    init(_ event: CadenceSettled) {
        (onTime, late, missed) = (event.onTime, event.late, event.missed)
        (failed, unrecorded) = (event.failed, event.unrecorded)
        for skipped in event.skippedByReason where skipped.due > 0 {
            skippedByReason[Self.publicReasons.contains(skipped.reason) ? skipped.reason : "other", default: 0] += skipped.due
        }
    }

    static func += (left: inout CadenceCounts, right: CadenceCounts) {
        left.onTime += right.onTime
        left.late += right.late
        left.missed += right.missed
        left.failed += right.failed
        left.unrecorded += right.unrecorded
        left.skippedByReason.merge(right.skippedByReason, uniquingKeysWith: +)
    }
}
