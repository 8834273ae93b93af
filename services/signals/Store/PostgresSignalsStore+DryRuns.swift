import Contracts
import Postgres

extension PostgresSignalsStore {
    func takeDryRunPlace(_ accountID: AccountID, request: String, limits: DryRunLimits, now: Timestamp) async throws -> DryRunDecision {
        try await transaction { connection in
            // One account's requests come one after another: whoever looks sees all places that were taken before.
            let answers = try await connection.pipeline([
                "SELECT pg_advisory_xact_lock(hashtextextended(\("signals.dry-runs \(accountID)"), 0))",
                """
                SELECT request, taken_at, job_id, ended_at FROM dry_run_places
                WHERE account_id = \(accountID) AND (request = \(request) OR ended_at IS NULL OR taken_at > \(now - DryRunLimits.window))
                """,
            ])
            let places = try answers[1].map { row in
                DryRunPlace(request: try row.column(0), takenAt: try row.column(1), jobID: try row.column(2), endedAt: try row.column(3))
            }
            if places.contains(where: { $0.request == request }) { return .admitted }
            let decision = limits.decision(on: places, now: now)
            if decision == .admitted {
                try await connection.execute(
                    "INSERT INTO dry_run_places (account_id, request, taken_at) VALUES (\(accountID), \(request), \(now))"
                )
            }
            return decision
        }
    }

    func leaveDryRunPlace(_ accountID: AccountID, request: String) async throws {
        _ = try await query("DELETE FROM dry_run_places WHERE account_id = \(accountID) AND request = \(request) AND job_id IS NULL")
    }

    func endDryRuns(_ jobIDs: [JobID], of accountID: AccountID, now: Timestamp) async throws {
        _ = try await query(
            "UPDATE dry_run_places SET ended_at = \(now) WHERE account_id = \(accountID) AND job_id = ANY (\(jobIDs)) AND ended_at IS NULL"
        )
    }

    func add(_ dryRun: DryRun, request: String) async throws {
        try await transaction { connection in
            _ = try await connection.pipeline([
                """
                INSERT INTO dry_runs (job_id, signal_id, version_id, account_id, created_at)
                VALUES (\(dryRun.jobID), \(dryRun.signalID), \(dryRun.versionID), \(dryRun.accountID), \(dryRun.createdAt)) ON CONFLICT (job_id) DO NOTHING
                """,
                """
                UPDATE dry_run_places SET job_id = \(dryRun.jobID) WHERE account_id = \(dryRun.accountID) AND request = \(request) AND job_id IS NULL
                """,
            ])
        }
    }

    func dryRun(_ jobID: JobID) async throws -> DryRun? {
        try await query("SELECT job_id, signal_id, version_id, account_id, created_at FROM dry_runs WHERE job_id = \(jobID)").first.map { row in
            DryRun(
                jobID: try row.column(0),
                signalID: try row.column(1),
                versionID: try row.column(2),
                accountID: try row.column(3),
                createdAt: try row.column(4)
            )
        }
    }

    func forgetDryRunPlaces(before: Timestamp) async throws {
        _ = try await query("DELETE FROM dry_run_places WHERE taken_at < \(before)")
    }
}
