import Contracts
import Schedules

/// What the close of a bar means for a schedule that waits for it.
struct BarClosePlan: Sendable, Hashable {
    let dueAt: Timestamp
    let asOf: Timestamp
    let outcome: OccurrenceOutcome
    let reason: String?
    /// How its run meets those that have not ended.
    let start: OverlapPlan.Start
    /// When the run may be claimed; nil is at once.
    let availableAt: Timestamp?

    /// A live bar is due at its end. A replayed one keeps its recorded times, which are long past, so it is due when it was released.
    init(
        schedule: String = "",
        policy: SchedulePolicy = SchedulePolicy(),
        closeAt: Timestamp,
        knownAt: Timestamp,
        intervalSeconds: Int,
        hasBar: Bool,
        isReplay: Bool,
        now: Timestamp,
        open: OpenRuns
    ) {
        dueAt = isReplay ? knownAt : closeAt
        asOf = knownAt
        let moved = knownAt + Jitter.delay(schedule: schedule, dueAt: dueAt, maximumSeconds: policy.jitterSeconds)
        availableAt = moved > now ? moved : nil
        let window = Self.window(policy, intervalSeconds: intervalSeconds) + .seconds(policy.jitterSeconds)
        let decision = OverlapPlan.decide([dueAt], policy.overlap, open).first
        start = decision?.start ?? .now
        if !hasBar {
            (outcome, reason) = (.skipped, "no_bar")
        } else if now - knownAt > window {
            (outcome, reason) = (.missed, "downtime")
        } else if decision?.start == nil {
            (outcome, reason) = (.skipped, decision?.reason)
        } else if start.waits {
            (outcome, reason) = (.late, "buffered")
        } else {
            (outcome, reason) = (now <= moved + TickPlan.tolerance ? .fired : .late, nil)
        }
    }

    /// For how long a bar's run is caught up.
    static func window(_ policy: SchedulePolicy, intervalSeconds: Int) -> Duration {
        policy.catchUpSeconds.map { .seconds($0) } ?? max(TickPlan.leastWindow, .seconds(intervalSeconds))
    }
}
