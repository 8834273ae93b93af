import Contracts
import Schedules

/// Reads what `[schedule]` says besides the due times themselves; a key that is missing leaves its default.
enum SchedulePolicyReader {
    static func read(_ reader: inout ManifestReader, of cadence: Cadence?, deadlineSeconds: Int) -> SchedulePolicy {
        var policy = SchedulePolicy()
        policy.overlap = reader.word("overlap", default: .skip, among: OverlapRule.allCases) ?? .skip
        policy.catchUpSeconds = number("catch_up_seconds", SchedulePolicy.catchUpRange, "seconds for which a due time is caught up", &reader)
        policy.jitterSeconds = number("jitter_seconds", SchedulePolicy.jitterRange, "seconds by which a run is moved at most", &reader) ?? 0
        policy.startAt = moment("start_at", &reader)
        policy.endAt = moment("end_at", &reader)
        policy.pauseAfterFailures = number("pause_after_failures", SchedulePolicy.failureRange, "failed runs in a row that pause it", &reader)
        if let value = reader.value("in_session", optional: true, expected: "an instrument") {
            policy.inSession = value.string.flatMap { ManifestParser.isSymbol($0) ? $0 : nil }
            if policy.inSession == nil { reader.report("in_session", "must be an instrument's symbol, such as \"SPY\"") }
        }
        if let fault = SchedulePolicyRules.fault(in: policy, of: cadence, deadlineSeconds: deadlineSeconds) {
            reader.report(fault.key, fault.message)
        }
        return policy
    }

    private static func number(_ key: String, _ range: ClosedRange<Int>, _ expected: String, _ reader: inout ManifestReader) -> Int? {
        guard reader.value(key, optional: true, expected: expected) != nil else { return nil }
        return reader.integer(key, range: range, expected: expected)
    }

    /// TOML has times of its own, with an offset or not; one without names no moment.
    private static func moment(_ key: String, _ reader: inout ManifestReader) -> Timestamp? {
        let expected = "a time with its offset from UTC, such as 2026-01-31T08:00:00Z"
        guard let value = reader.value(key, optional: true, expected: expected) else { return nil }
        guard let text = value.string, let time = Timestamp(iso8601: text) else {
            reader.report(key, "must be \(expected)")
            return nil
        }
        return time
    }
}
