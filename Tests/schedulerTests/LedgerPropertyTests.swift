import Contracts
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// Workers, senders and a sweeper do at random what each of them may, all at once; then the books must be right.
@Suite("Ledger under load", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct LedgerPropertyTests {
    /// Sends something over so many connections of the pool, all borrowed at once.
    private static func use(_ count: Int, of pool: PostgresPool) async {
        if count == 0 { return }
        try? await pool.withConnection { connection in
            _ = try? await connection.query("SELECT 1")
            await use(count - 1, of: pool)
        }
    }

    private static let limits = AccountLimits(runningInClass: 4, running: 6, open: 10_000)

    @Test(arguments: [1, 2, 3] as [UInt64]) func whateverHappensAtOnceEachJobEndsOnce(seed: UInt64) async throws {
        try await withPostgresStore { store, database in
            let replicas = (0..<2).map { _ in PostgresSchedulerStore(pool: store.pool, outbox: store.outbox, limits: Self.limits) }
            let accounts = (0..<6).map { _ in AccountID.make() }
            let notes = Notes()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for actor in 0..<6 {
                    group.addTask {
                        var random = SeededRandom(seed * 1_000 + UInt64(actor))
                        for step in 0..<60 {
                            try await act(replicas[actor % 2], accounts, "\(actor) \(step)", &random, notes)
                        }
                    }
                }
                // Connections of claims and ends that are cut in the middle: all of it happens, or nothing.
                group.addTask {
                    let superuser = try await PostgresConnection.connect(
                        database.superuser,
                        on: TestLoop.shared
                    )
                    for _ in 0..<8 {
                        _ = try await superuser.query(
                            """
                            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                            WHERE datname = current_database() AND usename = 'scheduler_app' AND state = 'active' LIMIT 1
                            """
                        )
                        try await superuser.execute("SELECT pg_sleep(0.02)")
                    }
                    await superuser.close()
                }
                try await group.waitForAll()
            }
            // A connection that was cut when its statement was over is found dead by whoever borrows it next.
            await Self.use(4, of: store.pool)
            // What still runs was lost with its claim's answer; it comes back, and all of it is done.
            var rounds = 0
            while rounds < 200 {
                rounds += 1
                try await store.pool.execute("UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'")
                _ = try await store.expireLeases(limit: 500)
                try await store.pool.execute("UPDATE jobs SET available_at = clock_timestamp() WHERE state = 'pending'")
                let jobs = try await replicas[rounds % 2].claim(
                    Claim(
                        id: .make(),
                        worker: "last",
                        classes: [
                            ClassSlots(class: .small, slots: 50), ClassSlots(class: .standard, slots: 50),
                        ]
                    )
                )
                if jobs.isEmpty { break }
                for receipt in try await store.finish(jobs.map({ try Fixture.finished($0) })) where receipt.state == .accepted {
                    notes.accepted.withLock { $0[receipt.jobID, default: 0] += 1 }
                }
            }
            let states = try await store.pool.query("SELECT state, count(*) FROM jobs GROUP BY state").map {
                (try $0.column(0, as: String.self), try $0.column(1, as: Int.self))
            }
            let total = states.reduce(0) { $0 + $1.1 }
            #expect(states.allSatisfy { ["completed", "cancelled", "failed"].contains($0.0) }, "\(states)")
            #expect(total >= notes.made.withLock { $0.count })
            #expect(notes.accepted.withLock { $0.values.allSatisfy { $0 == 1 } })
            // One event for each end that others hear of, no lease without a job, no job without its lease.
            let events = try await store.pool.query("SELECT count(*) FROM outbox WHERE type = \(JobCompleted.eventType)").first?.column(
                0,
                as: Int.self
            )
            let heardOf = try await store.pool.query("SELECT count(*) FROM jobs WHERE kind = 'signal_run'").first?.column(0, as: Int.self)
            #expect(events == heardOf && heardOf.map { $0 < total } == true)
            #expect(try await store.pool.query("SELECT FROM leases").isEmpty)
            let standings = try await store.queueStandings(of: accounts)
            #expect(standings.values.allSatisfy { $0.open == 0 })
            let faults = try await store.jobFaults().values.flatMap(\.self)
            #expect(faults.isEmpty, "\(faults)")
        }
    }

    /// One thing that somebody does; a connection that is lost meanwhile is the caller's to bear.
    private func act(
        _ store: PostgresSchedulerStore,
        _ accounts: [AccountID],
        _ key: String,
        _ random: inout SeededRandom,
        _ notes: Notes
    ) async throws {
        do {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<3:
                let account = accounts[Int.random(in: 0..<accounts.count, using: &random)]
                let priority = Priority.allCases[Int.random(in: 0..<4, using: &random)]
                let jobs = (0..<Int.random(in: 1...6, using: &random)).map {
                    Fixture.job(
                        "\(key) \($0)",
                        class: $0 % 2 == 0 ? .small : .standard,
                        account: account,
                        priority: priority,
                        kind: $0 % 3 == 0 ? .noop : .signalRun
                    )
                }
                for insertion in try await store.insert(jobs) {
                    if case .created(let id) = insertion { notes.made.withLock { _ = $0.insert(id) } }
                }
            case 3..<8:
                let claim = Claim(
                    id: .make(),
                    worker: key,
                    classes: [
                        ClassSlots(class: .small, slots: Int.random(in: 0...5, using: &random)),
                        ClassSlots(class: .standard, slots: Int.random(in: 0...5, using: &random)),
                    ]
                )
                let jobs = try await store.claim(claim)
                let busy = try await store.pool.query(
                    """
                    SELECT account_id, resource_class, count(*), sum(count(*)) OVER (PARTITION BY account_id)::int8 FROM leases GROUP BY 1, 2
                    """
                )
                for row in busy {
                    let (_, _, inClass, all) = try row.decode(AccountID.self, String.self, Int.self, Int.self)
                    #expect(inClass <= Self.limits.runningInClass && all <= Self.limits.running)
                }
                for job in jobs {
                    let reference = LeaseReference(jobID: job.id, attemptID: try #require(job.attemptID))
                    switch Int.random(in: 0..<10, using: &random) {
                    case 0: try await store.release([reference])
                    case 1: _ = try await store.cancel(job.id)
                    case 2: break
                    case 3: _ = try await store.finish([try Fixture.finished(job, .failed, failure: .infra)])
                    default:
                        let receipt = try await store.finish([try Fixture.finished(job)])[0]
                        if receipt.state == .accepted { notes.accepted.withLock { $0[job.id, default: 0] += 1 } }
                    }
                }
            case 8:
                if let id = notes.made.withLock({ $0.randomElement(using: &random) }) { _ = try await store.cancel(id) }
            default:
                _ = try await store.expireLeases(limit: 50)
                _ = try await store.expireWaits(limit: 50)
                _ = try await store.raiseWaiting(limit: 50)
            }
        } catch let error as PostgresError where error.isPassing {
            return
        }
    }
}

/// What was made, and how often the end of each job was accepted.
private final class Notes: Sendable {
    let made = Mutex<Set<JobID>>([])
    let accepted = Mutex<[JobID: Int]>([:])
}

/// SplitMix64: the same seed, the same numbers.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
