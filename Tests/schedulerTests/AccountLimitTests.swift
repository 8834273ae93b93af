import BlobStore
import Contracts
import Cryptography
import Foundation
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// What an account may have at once, held to while many ask.
@Suite("Account limits", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct AccountLimitTests {
    private func bound(_ store: PostgresSchedulerStore, _ limits: AccountLimits) -> PostgresSchedulerStore {
        PostgresSchedulerStore(pool: store.pool, outbox: store.outbox, limits: limits)
    }

    private func running(_ store: PostgresSchedulerStore, _ account: AccountID) async throws -> Int {
        try await store.pool.query("SELECT count(*) FROM leases WHERE account_id = \(account)").first?.column(0) ?? 0
    }

    @Test func noNumberOfClaimsAtOncePassesTheLimit() async throws {
        try await withPostgresStore { store, _ in
            // Two replicas, which know nothing of each other.
            let replicas = (0..<2).map { _ in bound(store, AccountLimits(runningInClass: 3, running: 4)) }
            let (bounded, free) = (AccountID.make(), AccountID.make())
            _ = try await store.insert((0..<120).map { Fixture.job("bounded \($0)", class: $0 % 2 == 0 ? .small : .standard, account: bounded) })
            _ = try await store.insert((0..<40).map { Fixture.job("free \($0)", account: free) })
            try await store.pool.execute("INSERT INTO account_limits (account_id, resource_class, running_most) VALUES (\(free), 'all', 100)")
            let most = Highest()
            let done = try await withThrowingTaskGroup(of: Int.self) { group in
                for worker in 0..<8 {
                    group.addTask {
                        let replica = replicas[worker % 2]
                        var done = 0
                        var empty = 0
                        while empty < 40 {
                            let claim = Claim(
                                id: .make(),
                                worker: "worker \(worker)",
                                classes: [ClassSlots(class: .small, slots: 3), ClassSlots(class: .standard, slots: 3)]
                            )
                            let jobs = try await replica.claim(claim)
                            let now = try await running(replica, bounded)
                            most.note(now)
                            empty = jobs.isEmpty ? empty + 1 : 0
                            done += try await replica.finish(jobs.map { try Fixture.finished($0) }).count { $0.state == .accepted }
                        }
                        return done
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(done == 160)
            #expect(most.value <= 4)
        }
    }

    @Test func aClassHasItsOwnLimitAndAnOverrideBeatsTheSetting() async throws {
        try await withPostgresStore { store, _ in
            let store = bound(store, AccountLimits(runningInClass: 2, running: 3))
            let accounts = (0..<3).map { _ in AccountID.make() }
            for account in accounts + [.platform] {
                _ = try await store.insert((0..<9).map { Fixture.job("job \($0)", class: $0 < 6 ? .small : .gpu, account: account) })
            }
            try await store.pool.execute(
                """
                INSERT INTO account_limits (account_id, resource_class, running_most)
                VALUES (\(accounts[1]), 'small', 1), (\(accounts[2]), 'small', 5), (\(accounts[2]), 'all', 6)
                """
            )
            let answers = try await store.claim([
                Claim(id: .make(), worker: "w", classes: [ClassSlots(class: .small, slots: 50), ClassSlots(class: .gpu, slots: 50)])
            ])
            let jobs = answers.jobs.values.flatMap(\.self)
            func count(_ account: AccountID, _ resourceClass: ResourceClass) -> Int {
                jobs.count { $0.accountID == account && $0.resourceClass == resourceClass }
            }
            #expect(accounts.map { count($0, .small) } == [2, 1, 5] && accounts.map { count($0, .gpu) } == [1, 2, 1])
            #expect(count(.platform, .small) == 6 && count(.platform, .gpu) == 3)
            // The first claim filled the places; whoever asks next hears that somebody waits for one.
            #expect(try await store.claim([Fixture.claim(5), Fixture.claim(5, class: .gpu)]).heldBack == [.small, .gpu])
        }
    }

    @Test func aPlaceThatFreesWakesTheWorkers() async throws {
        try await withPostgresStore { store, _ in
            let hinted = Mutex<[ResourceClass]>([])
            let store = bound(store, AccountLimits(runningInClass: 1))
            let root = FileManager.default.temporaryDirectory.appending(path: "auspex-limits-\(UUID().uuidString)")
            let cpu = try CPUPool(threads: 1)
            defer {
                cpu.stop()
                try? FileManager.default.removeItem(at: root)
            }
            let desk = ClaimDesk(
                store: store,
                blobs: try FolderBlobStore(root: root.path(), service: "scheduler", pool: cpu),
                signingKey: try SigningKey.generate(),
                time: SystemTimeSource(),
                hint: { resourceClass in hinted.withLock { $0.append(resourceClass) } }
            )
            _ = try await store.insert((0..<3).map { Fixture.job("job \($0)") })
            let first = try await desk.claim(Fixture.claim(1))
            #expect(first.count == 1)
            #expect(try await desk.claim(Fixture.claim(1)).isEmpty && hinted.withLock { $0.isEmpty })
            func report(_ job: ClaimedJob) -> FinishedJob {
                FinishedJob(jobID: job.jobID, attemptID: job.attemptID, outcome: .completed, cpuSeconds: 0, memoryPeakBytes: 0, logTruncated: false)
            }
            _ = try await desk.finish([report(first[0])])
            #expect(hinted.withLock { $0 } == [.small])
            let second = try await desk.claim(Fixture.claim(1))
            #expect(try await desk.claim(Fixture.claim(1)).isEmpty)
            try await desk.release(second.map { LeaseReference(jobID: $0.jobID, attemptID: $0.attemptID) })
            #expect(hinted.withLock { $0 } == [.small, .small])
        }
    }

    @Test func aFullQueueTakesNoMoreHoweverManyAskAtOnce() async throws {
        try await withPostgresStore { store, _ in
            let account = AccountID.make()
            let replicas = (0..<2).map { _ in JobIntake(store: bound(store, AccountLimits(open: 20)), loop: TestLoop.shared) { _ in } }
            let outcomes = try await withThrowingTaskGroup(of: [Insertion].self) { group in
                for sender in 0..<8 {
                    group.addTask {
                        var outcomes: [Insertion] = []
                        for number in 0..<6 {
                            outcomes += [try await replicas[sender % 2].insert(Fixture.job("job \(sender) \(number)", account: account))]
                        }
                        return outcomes
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(outcomes.count { if case .created = $0 { true } else { false } } == 20)
            #expect(outcomes.count { $0 == .queueFull(most: 20) } == 28)
            // What is there already is found; work that nobody asked for, and other accounts, are not held up.
            let known = try #require(try await store.jobs(JobFilter(accountID: account, limit: 1)).first)
            let again = try await replicas[0].insert(Fixture.job(known.idempotencyKey, account: account))
            #expect(again == .existing(known.id))
            let settlement = Fixture.job("settlement", class: .signals, account: account, kind: .settlement)
            #expect(try await replicas[0].insert(settlement) == .created(settlement.id))
            let other = Fixture.job("other", account: .make())
            #expect(try await replicas[0].insert(other) == .created(other.id))
            // Running jobs count as well; a place is free when one has ended.
            let running = try #require(try await store.claim(Fixture.claim(1)).first { $0.accountID == account })
            #expect(try await replicas[1].insert(Fixture.job("still full", account: account)) == .queueFull(most: 20))
            _ = try await store.finish([try Fixture.finished(running)])
            _ = try await store.cancel(settlement.id)
            let fits = Fixture.job("fits", account: account)
            #expect(try await replicas[1].insert(fits) == .created(fits.id))
        }
    }

    @Test func aBatchIsFilledAsFarAsThereIsRoom() async throws {
        try await withPostgresStore { store, _ in
            let account = AccountID.make()
            try await store.pool.execute("INSERT INTO account_limits (account_id, resource_class, open_most) VALUES (\(account), 'all', 3)")
            let intake = JobIntake(store: store, loop: TestLoop.shared) { _ in }
            let jobs = (0..<5).map { Fixture.job("job \($0)", account: account) }
            let outcomes = try await intake.insert(jobs, roles: jobs.map { _ in nil })
            #expect(outcomes == jobs.prefix(3).map { .created($0.id) } + [.queueFull(most: 3), .queueFull(most: 3)])
        }
    }

    @Test func aPlanCapsThePriority() async throws {
        try await withPostgresStore { store, _ in
            let (capped, free) = (AccountID.make(), AccountID.make())
            try await store.pool.execute("INSERT INTO account_limits (account_id, resource_class, priority_cap) VALUES (\(capped), 'all', 2)")
            let intake = JobIntake(store: store, loop: TestLoop.shared) { _ in }
            let jobs = [capped, free, .platform].map { Fixture.job("job", account: $0, priority: .urgent) }
            for job in jobs { _ = try await intake.insert(job, roles: ["provider"]) }
            var given: [Priority?] = []
            for job in jobs { given.append(try await store.job(job.id)?.priority) }
            #expect(given == [.normal, .high, .urgent])
        }
    }

    @Test func rolesCapThePriority() {
        let account = AccountID.make()
        func given(_ asked: Priority, _ roles: [String]?, plan: Priority? = nil) -> Priority {
            PriorityCap.priority(asked: asked, account: account, roles: roles, plan: plan)
        }
        #expect(given(.high, ["provider", "subscriber"]) == .high && given(.high, ["subscriber"]) == .normal && given(.high, nil) == .high)
        #expect(given(.urgent, ["admin"]) == .high && given(.urgent, nil, plan: .urgent) == .high)
        #expect(given(.low, ["admin"]) == .low && given(.high, ["subscriber"], plan: .high) == .high)
        #expect(PriorityCap.priority(asked: .urgent, account: .platform, roles: nil, plan: nil) == .urgent)
    }

    @Test func anOperatorSetsAndClearsWhatAnAccountMayHave() async throws {
        try await withPostgresStore { store, _ in
            let account = AccountID.make()
            func say(_ words: String...) async throws -> [String] {
                try await LimitsCommand.Change([account.description] + words).apply(to: store)
                return try await store.accountLimits().map(\.line)
            }
            #expect(try await say("running=4", "priority=normal") == ["\(account) class=all running=4 priority=normal"])
            #expect(try await say("open=9") == ["\(account) class=all running=4 open=9 priority=normal"])
            #expect(try await say("class=gpu", "running=0").last == "\(account) class=gpu running=0")
            let standings = try await store.queueStandings(of: [account])
            #expect(standings == [account: QueueStanding(open: 0, most: 9, priorityCap: .normal)])
            #expect(try await say("none").isEmpty)
            for words in [["running"], ["running=-1"], ["priority=urgent"], ["class=gpu", "open=3"], ["class=huge"], ["x=1"], []] {
                #expect(throws: CommandError.self) { try LimitsCommand.Change([account.description] + words) }
            }
            #expect(throws: CommandError.self) { try LimitsCommand.Change(["nobody", "running=4"]) }
        }
    }
}

/// The highest number that anybody saw.
private final class Highest: Sendable {
    private let state = Mutex(0)

    var value: Int { state.withLock { $0 } }

    func note(_ number: Int) { state.withLock { $0 = max($0, number) } }
}
