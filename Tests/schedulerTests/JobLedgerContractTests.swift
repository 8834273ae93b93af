import Contracts
import Cryptography
import Testing

@testable import scheduler

/// What both stores promise of jobs.
struct JobLedgerContractTests {
    @Test(arguments: StoreKind.available) func aJobIsMadeOnceHoweverOftenItIsAskedFor(kind: StoreKind) async throws {
        try await kind.with { store in
            let job = Fixture.job("once")
            var again = Fixture.job("once")
            var other = Fixture.job("once", spec: ["a": 1])
            again.id = .make()
            other.id = .make()
            let first = try await store.insert([job, Fixture.job("two")])
            let second = try await store.insert([again, other, Fixture.job("three")])
            #expect(first.first == .created(job.id))
            #expect(second[0] == .existing(job.id) && second[1] == .keyReused(job.id))
            guard case .created = second[2] else { return #expect(Bool(false)) }
        }
    }

    @Test(arguments: StoreKind.available) func aClaimGivesJobsOnceAndTheSameOnesToTheSameClaim(kind: StoreKind) async throws {
        try await kind.with { store in
            _ = try await store.insert((0..<5).map { Fixture.job("job \($0)") })
            let claim = Fixture.claim(3)
            let first = try await store.claim(claim)
            let repeated = try await store.claim(claim)
            let rest = try await store.claim(Fixture.claim(10, worker: "other"))
            #expect(first.count == 3 && Set(first.map(\.id)) == Set(repeated.map(\.id)))
            #expect(Set(first.map(\.attemptID)) == Set(repeated.map(\.attemptID)))
            #expect(rest.count == 2 && Set(rest.map(\.id)).isDisjoint(with: first.map(\.id)))
            #expect(first.allSatisfy { $0.state == .running && $0.attempt == 1 && $0.worker == "worker" })
            let none = try await store.claim(Fixture.claim(10))
            let otherClass = try await store.claim(Fixture.claim(10, class: .gpu))
            #expect(none.isEmpty && otherClass.isEmpty)
        }
    }

    @Test(arguments: StoreKind.available) func thePlatformsOwnJobsAreServedLikeAnybodys(kind: StoreKind) async throws {
        try await kind.with { store in
            let own = Fixture.job("own", class: .marketdata, account: .platform, priority: .low, kind: .resampleAll)
            let other = Fixture.job("other", class: .marketdata, priority: .low, kind: .resampleAll)
            _ = try await store.insert([own, other])
            let claimed = try await store.claim(Fixture.claim(class: .marketdata))
            #expect(Set(claimed.map(\.id)) == [own.id, other.id])
        }
    }

    @Test(arguments: StoreKind.available) func itIsKnownWhichResultsAreNamed(kind: StoreKind) async throws {
        try await kind.with { store in
            _ = try await store.insert([Fixture.job("a")])
            let (named, lost) = (SHA256.digest(utf8: "named"), SHA256.digest(utf8: "lost"))
            var report = try Fixture.finished(try #require(try await store.claim(Fixture.claim()).first))
            report.resultSHA256 = named
            #expect(try await store.finish([report])[0].state == .accepted)
            #expect(try await store.namedResults(among: [named, lost]) == [named])
            #expect(try await store.namedResults(among: []).isEmpty)
        }
    }

    @Test(arguments: StoreKind.available) func priorityThenShareThenAge(kind: StoreKind) async throws {
        try await kind.with { store in
            let greedy = AccountID.make()
            let modest = AccountID.make()
            _ = try await store.insert((0..<6).map { Fixture.job("greedy \($0)", account: greedy) })
            _ = try await store.insert([Fixture.job("modest", account: modest), Fixture.job("low", account: modest, priority: .low)])
            _ = try await store.insert([Fixture.job("urgent", account: greedy, priority: .urgent)])
            let first = try await store.claim(Fixture.claim(3))
            #expect(Set(first.map(\.idempotencyKey)).isSuperset(of: ["urgent", "modest"]))
            let rest = try await store.claim(Fixture.claim(10))
            #expect(rest.count == 6 && rest.contains { $0.idempotencyKey == "low" })
        }
    }

    @Test(arguments: StoreKind.available) func anAccountRunsNoMoreThanItMay(kind: StoreKind) async throws {
        try await kind.with(limits: AccountLimits(runningInClass: 2, running: 3)) { store in
            let other = AccountID.make()
            for resourceClass in [ResourceClass.small, .gpu] {
                _ = try await store.insert((0..<4).map { Fixture.job("\(resourceClass) \($0)", class: resourceClass) })
            }
            _ = try await store.insert([Fixture.job("other", account: other), Fixture.job("own", account: .platform)])
            let claim = Fixture.claim(10)
            let small = try await store.claim([claim])
            let jobs = try #require(small.jobs[claim.id])
            #expect(jobs.count { $0.accountID == Fixture.account } == 2 && jobs.count == 4 && small.heldBack == [.small])
            let gpu = try await store.claim(Fixture.claim(10, class: .gpu))
            #expect(gpu.count == 1)
            #expect(try await store.claim(Fixture.claim(10)).isEmpty)
            // A place of all classes that frees is one for any of them.
            _ = try await store.finish([try Fixture.finished(try #require(jobs.first { $0.accountID == Fixture.account }))])
            #expect(try await store.claim(Fixture.claim(10, class: .gpu)).count == 1)
            #expect(try await store.claim(Fixture.claim(10)).isEmpty)
            let rest = Fixture.claim(1, class: .large)
            #expect(try await store.claim([rest]).heldBack.isEmpty)
            // The slots of signals are reserved: an account's own long jobs do not hold its signals up.
            _ = try await store.insert((0..<3).map { Fixture.job("signal \($0)", class: .signal, kind: .signalRun) })
            #expect(try await store.claim(Fixture.claim(10, class: .signal)).count == 2)
        }
    }

    @Test(arguments: StoreKind.available) func aFullQueueTakesOnlyWhatNobodyAskedFor(kind: StoreKind) async throws {
        try await kind.with(limits: AccountLimits(open: 3)) { store in
            let jobs = (0..<5).map { Fixture.job("job \($0)") }
            let made = try await store.insert(jobs, queueLimits: [Fixture.account: 3])
            #expect(made == jobs.prefix(3).map { .created($0.id) } + [.queueFull(most: 3), .queueFull(most: 3)])
            #expect(try await store.insert([jobs[0]], queueLimits: [Fixture.account: 3]) == [.existing(jobs[0].id)])
            let settlement = Fixture.job("settlement", class: .signals, kind: .settlement)
            #expect(try await store.insert([settlement], queueLimits: [Fixture.account: 3]) == [.created(settlement.id)])
            let standings = try await store.queueStandings(of: [Fixture.account])
            let standing = standings[Fixture.account]
            #expect(standing?.most == 3 && (standing?.open ?? 0) > 3)
            _ = try await store.cancel(settlement.id)
            let running = try #require(try await store.claim(Fixture.claim(1)).first)
            #expect(try await store.insert([jobs[3]], queueLimits: [Fixture.account: 3]) == [.queueFull(most: 3)])
            _ = try await store.finish([try Fixture.finished(running)])
            #expect(try await store.insert([jobs[3]], queueLimits: [Fixture.account: 3]) == [.created(jobs[3].id)])
        }
    }

    @Test(arguments: StoreKind.available) func finishingIsFencedAndMayBeRepeated(kind: StoreKind) async throws {
        try await kind.with { store in
            _ = try await store.insert([Fixture.job("a", class: .small)])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            let report = try Fixture.finished(job, result: ["answer": 42], log: "hello")
            var stale = report
            stale.attemptID = .make()
            let refused = try await store.finish([stale])
            let accepted = try await store.finish([report])
            let repeated = try await store.finish([report])
            #expect(refused[0].state == .stale && accepted[0].state == .accepted && repeated[0].state == .accepted)
            let ended = try #require(try await store.job(job.id))
            #expect(ended.state == .completed && ended.result == ["answer": 42] && ended.progress == 100 && ended.completedAt != nil)
            #expect(ended.cpuSeconds == 0.5 && ended.memoryPeakBytes == 1_000)
            let log = try #require(try await store.log(of: job.id))
            #expect(log.text == "hello" && log.attempt == 1)
            let standing = try await store.renew([LeaseRenewal(jobID: job.id, attemptID: try #require(job.attemptID), progress: nil)])
            #expect(standing[0].state == .lost)
        }
    }

    @Test(arguments: StoreKind.available) func onlyOurFaultsAreTriedAgain(kind: StoreKind) async throws {
        try await kind.with { store in
            _ = try await store.insert([Fixture.job("ours"), Fixture.job("theirs")])
            let jobs = try await store.claim(Fixture.claim())
            let ours = try #require(jobs.first { $0.idempotencyKey == "ours" })
            let theirs = try #require(jobs.first { $0.idempotencyKey == "theirs" })
            _ = try await store.finish([
                try Fixture.finished(ours, .failed, failure: .infra), try Fixture.finished(theirs, .failed, failure: .exception),
            ])
            let (first, second) = (try #require(try await store.job(ours.id)), try #require(try await store.job(theirs.id)))
            #expect(first.state == .pending && first.availableAt > first.createdAt + .seconds(3) && first.attemptID == nil)
            #expect(second.state == .failed && second.failureKind == .exception)
            let early = try await store.claim(Fixture.claim())
            #expect(early.isEmpty)
        }
    }

    @Test(arguments: StoreKind.available) func cancellingWaitingAndRunningJobs(kind: StoreKind) async throws {
        try await kind.with { store in
            _ = try await store.insert([Fixture.job("runs")])
            let running = try #require(try await store.claim(Fixture.claim()).first)
            let waiting = Fixture.job("waits")
            _ = try await store.insert([waiting])
            let unknown = try await store.cancel(.make())
            let first = try await store.cancel(waiting.id)
            let again = try await store.cancel(waiting.id)
            let second = try await store.cancel(running.id)
            #expect(unknown == .unknown && first == .cancelled && again == .alreadyEnded(.cancelled) && second == .requested)
            let standing = try await store.renew([LeaseRenewal(jobID: running.id, attemptID: try #require(running.attemptID), progress: 40)])
            #expect(standing[0].state == .cancelRequested)
            // What came of it no longer counts.
            _ = try await store.finish([try Fixture.finished(running, result: ["late": true])])
            let ended = try #require(try await store.job(running.id))
            #expect(ended.state == .cancelled && ended.result == nil && ended.progress == 40)
        }
    }

    @Test(arguments: StoreKind.available) func releasingUsesUpNoAttempt(kind: StoreKind) async throws {
        try await kind.with { store in
            _ = try await store.insert([Fixture.job("a")])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            try await store.release([LeaseReference(jobID: job.id, attemptID: try #require(job.attemptID))])
            let released = try #require(try await store.job(job.id))
            #expect(released.state == .pending && released.attempt == 0)
            let again = try #require(try await store.claim(Fixture.claim()).first)
            #expect(again.attempt == 1 && again.attemptID != job.attemptID)
            let stale = try await store.finish([try Fixture.finished(job)])
            #expect(stale[0].state == .stale)
        }
    }

    @Test(arguments: StoreKind.available) func whatCanBeSeenRaisesTheVersionAndNothingElse(kind: StoreKind) async throws {
        try await kind.with { store in
            let job = Fixture.job("a")
            _ = try await store.insert([job])
            var versions: [Int64] = []
            func look() async throws { versions.append(try #require(try await store.job(job.id)).version) }
            try await look()
            let claimed = try #require(try await store.claim(Fixture.claim()).first)
            try await look()
            for progress in [nil, 30, 30, 60] {
                _ = try await store.renew([LeaseRenewal(jobID: job.id, attemptID: try #require(claimed.attemptID), progress: progress)])
                try await look()
            }
            _ = try await store.cancel(job.id)
            _ = try await store.cancel(job.id)
            try await look()
            _ = try await store.finish([try Fixture.finished(claimed)])
            try await look()
            #expect(versions == [1, 2, 2, 3, 3, 4, 5, 6])
        }
    }

    @Test(arguments: StoreKind.available) func whatAttemptsHaveUsedIsAddedUp(kind: StoreKind) async throws {
        try await kind.with { store in
            _ = try await store.insert([Fixture.job("a")])
            let first = try #require(try await store.claim(Fixture.claim()).first)
            var report = try Fixture.finished(first, .failed, failure: .exception)
            (report.cpuSeconds, report.memoryGibSeconds, report.bytesIn, report.bytesOut, report.memoryPeakBytes) = (1, 2, 3, 4, 5)
            _ = try await store.finish([report])
            let ended = try #require(try await store.job(first.id))
            #expect(ended.cpuSeconds == 1 && ended.memoryGiBSeconds == 2 && ended.bytesIn == 3 && ended.bytesOut == 4 && ended.memoryPeakBytes == 5)
        }
    }

    @Test(arguments: StoreKind.available) func listsAreFilteredAndPaged(kind: StoreKind) async throws {
        try await kind.with { store in
            let signal = SignalID.make()
            var jobs = (0..<5).map { Fixture.job("job \($0)", spec: ["signal_id": .string(signal.description)]) }
            jobs[4] = Fixture.job("other", kind: .settlement)
            _ = try await store.insert(jobs)
            let page = try await store.jobs(JobFilter(accountID: Fixture.account, limit: 2))
            #expect(page.map(\.id) == [jobs[4].id, jobs[3].id])
            let next = try await store.jobs(JobFilter(accountID: Fixture.account, beyond: jobs[3].id, limit: 10))
            #expect(next.map(\.id) == [jobs[2].id, jobs[1].id, jobs[0].id])
            let bySignal = try await store.jobs(JobFilter(accountID: Fixture.account, signalID: signal, limit: 10))
            let byKind = try await store.jobs(JobFilter(accountID: Fixture.account, state: .pending, kinds: [.settlement], limit: 10))
            let foreign = try await store.jobs(JobFilter(accountID: .make(), limit: 10))
            let all = try await store.jobs(JobFilter(limit: 10))
            let ofNoKind = try await store.jobs(JobFilter(kinds: [], limit: 10))
            #expect(all.count == 5 && ofNoKind.isEmpty)
            #expect(bySignal.count == 4 && byKind.map(\.id) == [jobs[4].id] && foreign.isEmpty)
            let classes = try await store.claimableClasses()
            #expect(classes == [.small])
        }
    }
}
