public import Contracts

/// What a policy must keep: whoever accepts a manifest holds it to this, and so does whoever arms it.
public enum SchedulePolicyRules {
    /// What is wrong, by the key in `[schedule]`.
    public struct Fault: Sendable, Hashable {
        /// The key.
        public let key: String
        /// What it must be.
        public let message: String
    }

    /// The first fault; nil if there is none.
    public static func fault(in policy: SchedulePolicy, of cadence: Cadence?, deadlineSeconds: Int) -> Fault? {
        func outside(_ value: Int?, _ range: ClosedRange<Int>) -> Bool { value.map { !range.contains($0) } ?? false }
        func fault(_ key: String, _ range: ClosedRange<Int>) -> Fault {
            Fault(key: key, message: "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        if outside(policy.catchUpSeconds, SchedulePolicy.catchUpRange) { return fault("catch_up_seconds", SchedulePolicy.catchUpRange) }
        if outside(policy.jitterSeconds, SchedulePolicy.jitterRange) { return fault("jitter_seconds", SchedulePolicy.jitterRange) }
        if outside(policy.pauseAfterFailures, SchedulePolicy.failureRange) { return fault("pause_after_failures", SchedulePolicy.failureRange) }
        if policy.jitterSeconds >= max(1, deadlineSeconds) {
            return Fault(
                key: "jitter_seconds",
                message: "must be less than deadline_seconds (\(deadlineSeconds)): a run that begins after the deadline counts for nothing"
            )
        }
        var step: Int?
        var followsTime = true
        switch cadence {
        case .interval(let seconds): step = seconds
        case .session(_, .every(let seconds)): (step, followsTime) = (seconds, false)
        case .session, .barClose: followsTime = false
        case .cron, nil: break
        }
        if let step, policy.jitterSeconds >= step, policy.jitterSeconds > 0 {
            return Fault(key: "jitter_seconds", message: "must be less than the \(step) seconds between two due times")
        }
        if policy.inSession != nil, !followsTime {
            return Fault(key: "in_session", message: "belongs to the kinds interval and cron: the others follow a market already")
        }
        if policy.inSession.map({ $0.isEmpty || $0.utf8.count > 64 }) ?? false {
            return Fault(key: "in_session", message: "must be an instrument's symbol")
        }
        if let startAt = policy.startAt, let endAt = policy.endAt, startAt > endAt {
            return Fault(key: "end_at", message: "must not be before start_at")
        }
        return nil
    }
}
