import Contracts

/// What the close of a bar means for a schedule that waits for it.
struct BarClosePlan: Sendable, Hashable {
    let dueAt: Timestamp
    let asOf: Timestamp
    let outcome: OccurrenceOutcome
    let reason: String?

    /// A live bar is due at its end. A replayed one keeps its recorded times, which are long past, so it is due when it was released.
    init(closeAt: Timestamp, knownAt: Timestamp, intervalSeconds: Int, hasBar: Bool, isReplay: Bool, now: Timestamp, hasOpenRun: Bool) {
        dueAt = isReplay ? knownAt : closeAt
        asOf = knownAt
        let age = now - knownAt
        if !hasBar {
            (outcome, reason) = (.skipped, "no_bar")
        } else if age > max(TickPlan.leastWindow, .seconds(intervalSeconds)) {
            (outcome, reason) = (.missed, "downtime")
        } else if hasOpenRun {
            (outcome, reason) = (.skipped, "overlap")
        } else {
            (outcome, reason) = (age <= TickPlan.tolerance ? .fired : .late, nil)
        }
    }
}
