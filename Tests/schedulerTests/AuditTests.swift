import Contracts
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// What somebody plants into the books of jobs and due times: the audit names it.
@Suite("Audit", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct AuditTests {
    /// What is done to the one occurrence that fired and its completed job, and words of the faults that the audit then finds.
    static let plants: [(sql: SQL, expected: [String])] = [
        ("DELETE FROM jobs", ["has no job"]), ("DELETE FROM occurrences", ["has nothing for", "has no occurrence"]),
        (
            """
            INSERT INTO occurrences (occurrence_id, outcome, schedule_id, signal_id, account_id, due_at, as_of, job_id, recorded_at, made_at)
            SELECT gen_random_uuid(), outcome, schedule_id, signal_id, account_id, due_at - interval '1 second', as_of, job_id, recorded_at, made_at
            FROM occurrences
            """, ["where none was due", "belongs to 2 occurrences", "which was made for occurrence"]
        ), ("UPDATE occurrences SET recorded_at = NULL", ["job "]),
        ("UPDATE jobs SET state = 'failed', failure_kind = 'infra'", ["is fired, its job"]),
        ("UPDATE jobs SET state = 'running', completed_at = NULL", ["runs without a lease"]),
        ("UPDATE jobs SET occurrence_id = gen_random_uuid()", ["which was made for occurrence"]),
        (
            """
            INSERT INTO leases (job_id, attempt_id, claim_id, account_id, resource_class, worker, expires_at)
            SELECT job_id, attempt_id, gen_random_uuid(), account_id, resource_class, 'nobody', clock_timestamp() - interval '2 minutes' FROM jobs
            """, ["belongs to no running attempt", "held by nobody"]
        ),
        (
            "UPDATE outbox SET sent_at = NULL, appended_at = clock_timestamp() - interval '2 minutes' WHERE type = 'scheduler.job.completed.v1'",
            ["scheduler.job.completed.v1 "]
        ),
    ]

    @Test(arguments: plants.indices) func whatIsPlantedIsNamed(index: Int) async throws {
        let (sql, expected) = Self.plants[index]
        try await withPostgresStore { store, database in
            let event = Fixture.publication(.interval(seconds: 60))
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            let due = try #require(try await store.earliestDueTime())
            _ = try await OccurrenceMaker(store: store).makeDue(at: due)
            let job = try #require(try await store.claim(Fixture.claim(class: .signal)).first)
            _ = try await store.finish([try Fixture.finished(job)])
            let superuser = try await PostgresConnection.connect(database.superuser, on: TestLoop.shared)
            try await superuser.execute("SET session_replication_role = replica")
            try await superuser.execute("UPDATE occurrences SET recorded_at = clock_timestamp()")
            try await superuser.execute("UPDATE jobs SET completed_at = completed_at - interval '2 minutes'")
            let before = try await AuditCommand.run(on: store, now: due).flatMap(\.faults)
            #expect(before.isEmpty)
            try await superuser.execute(sql)
            let found = try await AuditCommand.run(on: store, now: due).filter { !$0.faults.isEmpty }
            for words in expected {
                #expect(found.contains { $0.line.hasPrefix("BAD") && $0.line.contains(words) }, "\(words): \(found.map(\.line))")
            }
            await superuser.close()
        }
    }
}
