import Contracts
import HTTPServing
import ServiceRuntime

/// Lets an account have a few dry runs at once and a few a minute: each takes a slot of the executors before anybody has paid for anything.
///
/// The store decides; that a run has ended it learns only here, from the ledger of jobs, when an account has no place left.
struct DryRunAdmission: Sendable {
    let store: any SignalsStore
    let jobs: any JobLedger
    let limits: DryRunLimits
    let time: any TimeSource

    /// Takes a place for the request, or throws what its sender gets to read.
    func admit(_ accountID: AccountID, request: String) async throws {
        var decision = try await take(accountID, request)
        if case .tooManyOpen(let open) = decision, try await learnEnds(of: open, accountID) { decision = try await take(accountID, request) }
        switch decision {
        case .admitted: return
        case .tooManyOpen:
            throw Problem.tooManyRequests(
                code: "too_many_dry_runs",
                detail: "An account has at most \(limits.open) dry runs under way; wait until one has ended.",
                retryAfterSeconds: 5
            )
        case .tooManyRecently(let until):
            throw Problem.tooManyRequests(
                code: "dry_run_rate_limited",
                detail: "An account begins at most \(limits.perMinute) dry runs a minute.",
                retryAfterSeconds: Int(((until - time.now()).wholeMicroseconds + 999_999) / 1_000_000)
            )
        }
    }

    /// Gives a place back for which no job was made.
    func leave(_ accountID: AccountID, request: String) async throws { try await store.leaveDryRunPlace(accountID, request: request) }

    private func take(_ accountID: AccountID, _ request: String) async throws -> DryRunDecision {
        try await store.takeDryRunPlace(accountID, request: request, limits: limits, now: time.now())
    }

    /// True when one of the jobs has ended.
    private func learnEnds(of open: [JobID], _ accountID: AccountID) async throws -> Bool {
        var ended: [JobID] = []
        for jobID in open where try await jobs.job(jobID)?.state.isTerminal ?? true { ended.append(jobID) }
        if ended.isEmpty { return false }
        try await store.endDryRuns(ended, of: accountID, now: time.now())
        return true
    }
}
