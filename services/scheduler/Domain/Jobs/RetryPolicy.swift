import Contracts

/// What becomes of an attempt that failed.
enum RetryPolicy {
    /// Where the job goes.
    enum Verdict: Sendable, Hashable {
        case retry(after: Duration)
        case fail
    }

    /// Only our own faults are tried again, after 5·3ⁿ s ± 20 %, while attempts are left. `attempt` counts from 1.
    static func verdict(_ kind: FailureKind, attempt: Int, maximumAttempts: Int, random: Double = .random(in: 0.8...1.2)) -> Verdict {
        guard kind.isRetried, attempt < maximumAttempts else { return .fail }
        return .retry(after: pause(afterAttempt: attempt) * random)
    }

    /// 5 s after the first attempt, then three times as long each time, an hour at most.
    static func pause(afterAttempt attempt: Int) -> Duration {
        var seconds: Int64 = 5
        for _ in 1..<max(1, min(attempt, 8)) { seconds *= 3 }
        return .seconds(min(seconds, 3_600))
    }
}
