import Contracts
import HTTPServing

/// Results that were part of a refused call: sent alone, at growing pauses, so that one that cannot be taken holds up nobody else's.
struct SuspectResults {
    /// What to do about a result that was refused alone.
    enum Verdict: Equatable {
        /// Try it again later.
        case again
        /// Say in its place that the job failed.
        case replace
        /// Even that is refused: say nothing more.
        case drop
    }

    /// A result is replaced when it was refused this often, and dropped when its replacement was.
    static let mostRefusals = 5
    private static let firstPauseNanoseconds: UInt64 = 200_000_000

    private struct Suspect {
        var refusals = 0
        var dueAt: UInt64 = 0
    }

    private var suspects: [AttemptID: Suspect] = [:]

    /// The attempts whose results go alone.
    var attempts: Set<AttemptID> { Set(suspects.keys) }

    /// When the first of them is to be sent, in monotonic nanoseconds; nil when there is none.
    var nextDue: UInt64? { suspects.values.map(\.dueAt).min() }

    /// Whether an error may be about what was sent: not about the scheduler's state, the worker's key or the address.
    static func isRefusal(_ error: any Error) -> Bool {
        if error is EncodingError { return true }
        guard let error = error as? ServiceClientError, !error.isPassing else { return false }
        return ![401, 403, 404, 405].contains(error.status ?? 0)
    }

    /// Suspects these, to be sent at once.
    mutating func add(_ attempts: [AttemptID]) {
        for attempt in attempts where suspects[attempt] == nil { suspects[attempt] = Suspect() }
    }

    /// Whether it is time to send this one; a worker that stops does not wait.
    func isDue(_ attempt: AttemptID, now: UInt64, _ isDraining: Bool) -> Bool {
        suspects[attempt].map { isDraining || $0.dueAt <= now } ?? false
    }

    /// Counts a refusal.
    mutating func refused(_ attempt: AttemptID, now: UInt64) -> Verdict {
        var suspect = suspects[attempt] ?? Suspect()
        suspect.refusals += 1
        suspect.dueAt = now + Self.firstPauseNanoseconds << UInt64((suspect.refusals - 1) % Self.mostRefusals)
        suspects[attempt] = suspect
        switch suspect.refusals {
        case Self.mostRefusals: return .replace
        case (2 * Self.mostRefusals)...:
            suspects[attempt] = nil
            return .drop
        default: return .again
        }
    }

    /// Taken.
    mutating func remove(_ attempt: AttemptID) { suspects[attempt] = nil }

    /// Forgets those whose results are gone.
    mutating func keep(only attempts: [AttemptID]) {
        let kept = Set(attempts)
        suspects = suspects.filter { kept.contains($0.key) }
    }
}

extension FinishedJob {
    /// What is said of a job whose result nobody takes: our fault, in a form that is always taken.
    static func undeliverable(_ job: JobID, _ attempt: AttemptID, _ reason: String) -> FinishedJob {
        var finished = FinishedJob(jobID: job, attemptID: attempt, outcome: .failed)
        finished.failureKind = .infra
        finished.errorMessage = FinishedJob.plain(reason, maximumBytes: 500)
        return finished
    }
}
