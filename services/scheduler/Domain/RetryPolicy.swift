internal import Contracts

/// When a failed attempt is tried again: only for faults that are ours.
struct RetryPolicy: Sendable, Hashable {
    /// How many attempts there are in all.
    let maximumAttempts: Int

    static let standard = RetryPolicy(maximumAttempts: 3)

    /// How long to wait before the next attempt, or nil when there is none.
    ///
    /// 5·3ⁿ seconds after the n-th retry (5, 15, 45 …), give or take a fifth, so that a burst of failures does not come back as one.
    func delay(afterAttempt attempt: Int, failure: FailureKind, jitter: Double) -> Duration? {
        guard failure.isRetried, attempt < maximumAttempts else { return nil }
        var seconds = 5.0
        for _ in 1..<max(1, attempt) { seconds *= 3 }
        return .milliseconds(Int((seconds * 1_000 * (0.8 + 0.4 * min(max(jitter, 0), 1))).rounded()))
    }
}
