import Contracts
import Schedules

/// Why a schedule does not run for the time being. Its grid goes on: what is due in a pause is skipped and counted, and never caught up.
struct SchedulePause: Sendable, Hashable {
    /// Who paused it.
    enum Author: String, Sendable, Hashable {
        case owner, administrator
        /// So many runs in a row failed by the code's fault.
        case failures
    }

    let since: Timestamp
    let by: Author
    let reason: String?

    /// Characters that a reason has at most, counted as the database counts them: by code points, of which a letter with its accents may have several.
    static let maximumReasonLength = 500

    /// As much of a reason as can be kept.
    static func capped(_ reason: String) -> String { String(String.UnicodeScalarView(reason.unicodeScalars.prefix(maximumReasonLength))) }
}

/// What looks at a paused schedule bring. Nothing runs, so they need not come at each due time: one an hour writes down what has been skipped.
enum PausePlan {
    static let rhythm = Duration.seconds(3_600)
    static let reason = "paused"

    /// The due times in `(cursor, end]` as outcomes; more than a thousand are one row. What a closed market would have left out anyway keeps its reason.
    static func skipped(_ due: DueTimes, after cursor: Timestamp, through end: Timestamp) -> [TickPlan.Entry] {
        TickPlan.lost(due, after: cursor, before: end + .microseconds(1), reason: reason).map { entry in
            TickPlan.Entry(dueAt: entry.dueAt, rangeTo: entry.rangeTo, count: entry.count, outcome: .skipped, reason: entry.reason)
        }
    }

    /// When it is looked at again: at the last due time of the hour, or at the first one behind it; nil for bar closes, which are written down as they come,
    /// and when nothing more is due.
    static func nextLook(_ due: DueTimes, after now: Timestamp) -> Timestamp? {
        due.last(after: now, through: min(now + rhythm, due.knownThrough)) ?? TickPlan.armed(due, after: now)
    }
}

extension Schedule {
    /// Whether what became known then belongs to a pause, or to the time before the last one was lifted.
    func wasPaused(at time: Timestamp) -> Bool { (pause.map { time > $0.since } ?? false) || (resumedAt.map { time <= $0 } ?? false) }

    /// What a bar's close means when the pauses of the schedule are taken into account, wherever in the queue it was held up meanwhile.
    func sparing(_ plan: BarClosePlan, knownAt: Timestamp) -> (outcome: OccurrenceOutcome, reason: String?) {
        guard plan.reason != "no_bar", wasPaused(at: knownAt) else { return (plan.outcome, plan.reason) }
        return (.skipped, PausePlan.reason)
    }
}
