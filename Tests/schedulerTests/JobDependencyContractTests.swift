import Contracts
import Testing

@testable import scheduler

/// What both stores promise of jobs that wait for others.
struct JobDependencyContractTests {
    private func waiting(_ key: String, on others: [NewJob], _ condition: JobDependency.Condition = .completed, account: AccountID = Fixture.account)
        -> NewJob
    {
        var job = Fixture.job(key, account: account)
        job.waitsFor = others.map { JobDependency(on: $0.id, condition: condition) }
        return job
    }

    private func claimedKeys(_ store: any SchedulerStore) async throws -> Set<String> {
        Set(try await store.claim(Fixture.claim(100)).map(\.idempotencyKey))
    }

    @Test(arguments: StoreKind.available) func aJobIsClaimedWhenAllThatItWaitsForHaveCompleted(kind: StoreKind) async throws {
        try await kind.with { store in
            let (first, second) = (Fixture.job("first"), Fixture.job("second"))
            _ = try await store.insert([first, second])
            let last = waiting("last", on: [first, second, first])
            #expect(try await store.insert([last]) == [.created(last.id)])
            let blocked = try #require(try await store.job(last.id))
            #expect(blocked.state == .pending && blocked.blockedBy == 2 && blocked.availableAt == JobDependency.blockedUntil)
            #expect(blocked.waitsFor.map(\.on) == [first.id, second.id])
            let jobs = try await store.claim(Fixture.claim())
            #expect(Set(jobs.map(\.id)) == [first.id, second.id])
            _ = try await store.finish([try Fixture.finished(jobs[0])])
            #expect(try await store.job(last.id)?.blockedBy == 1)
            #expect(try await claimedKeys(store).isEmpty)
            _ = try await store.finish([try Fixture.finished(jobs[1])])
            #expect(try await claimedKeys(store) == ["last"])
        }
    }

    @Test(arguments: StoreKind.available) func whoWaitsForOneThatFoundNoRoomFindsNoneEither(kind: StoreKind) async throws {
        try await kind.with { store in
            let first = Fixture.job("first")
            // Of a kind that counts against no queue.
            var second = Fixture.job("second", kind: .settlement)
            second.waitsFor = [JobDependency(on: first.id)]
            let third = waiting("third", on: [second])
            let refused = try await store.insert([first, second, third], queueLimits: [Fixture.account: 0])
            #expect(refused == Array(repeating: .queueFull(most: 0), count: 3))
            #expect(try await store.insert([first, second, third]) == [first, second, third].map { .created($0.id) })
            // What is there is there, whatever the queue holds.
            let known = try await store.insert([first, second, third], queueLimits: [Fixture.account: 0])
            #expect(known == [first, second, third].map { .existing($0.id) })
        }
    }

    @Test(arguments: StoreKind.available) func whatWasDoneBeforeIsNotWaitedFor(kind: StoreKind) async throws {
        try await kind.with { store in
            let (done, failed) = (Fixture.job("done"), Fixture.job("failed"))
            _ = try await store.insert([done, failed])
            let jobs = try await store.claim(Fixture.claim())
            _ = try await store.finish(
                try jobs.map { try $0.id == done.id ? Fixture.finished($0) : Fixture.finished($0, .failed, failure: .exception) }
            )
            let free = waiting("free", on: [done])
            let anyEnd = waiting("any end", on: [failed], .ended)
            let hopeless = waiting("hopeless", on: [failed])
            _ = try await store.insert([free, anyEnd, hopeless])
            #expect(try await claimedKeys(store) == ["free", "any end"])
            let cancelled = try #require(try await store.job(hopeless.id))
            #expect(cancelled.state == .cancelled && cancelled.completedAt != nil)
            #expect(cancelled.errorMessage == "it waited for job \(failed.id) to be completed, which has ended as failed")
        }
    }

    @Test(arguments: StoreKind.available) func aFailureCancelsThoseThatNeedItAndTheirsInTurn(kind: StoreKind) async throws {
        try await kind.with { store in
            let root = Fixture.job("root")
            _ = try await store.insert([root])
            let child = waiting("child", on: [root])
            let grandchild = waiting("grandchild", on: [child])
            let cleanup = waiting("cleanup", on: [child], .ended)
            let both = waiting("both", on: [grandchild, cleanup])
            _ = try await store.insert([child, grandchild, cleanup, both])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            _ = try await store.finish([try Fixture.finished(job, .failed, failure: .exception)])
            for id in [child.id, grandchild.id, both.id] { #expect(try await store.job(id)?.state == .cancelled) }
            #expect(try await claimedKeys(store) == ["cleanup"])
        }
    }

    @Test(arguments: StoreKind.available) func aRetryIsNoEnd(kind: StoreKind) async throws {
        try await kind.with { store in
            let root = Fixture.job("root")
            _ = try await store.insert([root])
            let child = waiting("child", on: [root], .ended)
            _ = try await store.insert([child])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            _ = try await store.finish([try Fixture.finished(job, .failed, failure: .infra)])
            #expect(try await store.job(child.id)?.blockedBy == 1)
            #expect(try await store.cancel(root.id) == .cancelled)
            #expect(try await claimedKeys(store) == ["child"])
        }
    }

    @Test(arguments: StoreKind.available) func aWaitingJobCanBeCancelledAndHoldsUpNobody(kind: StoreKind) async throws {
        try await kind.with { store in
            let root = Fixture.job("root")
            _ = try await store.insert([root])
            let child = waiting("child", on: [root])
            let last = waiting("last", on: [root, child], .ended)
            _ = try await store.insert([child, last])
            #expect(try await store.cancel(child.id) == .cancelled)
            #expect(try await store.job(child.id)?.state == .cancelled)
            #expect(try await store.job(last.id)?.blockedBy == 1)
            #expect(try await store.expireWaits(limit: 100) == 0)
            let job = try #require(try await store.claim(Fixture.claim()).first)
            _ = try await store.finish([try Fixture.finished(job)])
            #expect(try await claimedKeys(store) == ["last"])
        }
    }

    @Test(arguments: StoreKind.available) func onlyJobsOfTheAccountAndOfThePlatformCanBeWaitedFor(kind: StoreKind) async throws {
        try await kind.with { store in
            let foreign = Fixture.job("foreign", account: .make())
            let own = Fixture.job("own")
            let platforms = Fixture.job("platform's", account: .platform)
            _ = try await store.insert([foreign, own, platforms])
            let unknown = Fixture.job("never written")
            let (bad, worse, good) = (waiting("bad", on: [own, foreign]), waiting("worse", on: [unknown]), waiting("good", on: [own, platforms]))
            let outcomes = try await store.insert([bad, good, worse])
            #expect(outcomes == [.unknownDependency(foreign.id), .created(good.id), .unknownDependency(unknown.id)])
            for id in [bad.id, worse.id] { #expect(try await store.job(id) == nil) }
        }
    }

    @Test(arguments: StoreKind.available) func aRepeatedRequestGivesTheSameJobWhateverBecameOfItsWaits(kind: StoreKind) async throws {
        try await kind.with { store in
            let root = Fixture.job("root")
            _ = try await store.insert([root])
            let child = waiting("child", on: [root])
            _ = try await store.insert([child])
            var again = waiting("child", on: [Fixture.job("never written")])
            again.id = .make()
            #expect(try await store.insert([again]) == [.existing(child.id)])
            #expect(try await store.job(child.id)?.blockedBy == 1)
            // One that names another of the same call, which was there already and has ended.
            let job = try #require(try await store.claim(Fixture.claim()).first)
            _ = try await store.finish([try Fixture.finished(job)])
            var rootAgain = Fixture.job("root")
            rootAgain.id = .make()
            let late = waiting("late", on: [rootAgain])
            #expect(try await store.insert([rootAgain, late]) == [.existing(root.id), .created(late.id)])
            #expect(try await claimedKeys(store) == ["child", "late"])
        }
    }

    @Test(arguments: StoreKind.available) func onesOfTheSameCallCanBeWaitedForIfTheyStandBefore(kind: StoreKind) async throws {
        try await kind.with { store in
            let first = Fixture.job("first")
            let second = waiting("second", on: [first])
            let third = waiting("third", on: [second])
            #expect(try await store.insert([first, second, third]) == [.created(first.id), .created(second.id), .created(third.id)])
            let (left, right) = (Fixture.job("left"), Fixture.job("right"))
            var (a, b) = (left, right)
            a.waitsFor = [JobDependency(on: right.id)]
            b.waitsFor = [JobDependency(on: left.id)]
            #expect(try await store.insert([a, b]) == [.unknownDependency(right.id), .unknownDependency(left.id)])
            for key in ["first", "second", "third"] {
                let job = try #require(try await store.claim(Fixture.claim()).first)
                #expect(job.idempotencyKey == key)
                _ = try await store.finish([try Fixture.finished(job)])
            }
        }
    }

    @Test(arguments: StoreKind.available) func aWishedMomentIsKept(kind: StoreKind) async throws {
        try await kind.with { store in
            let root = Fixture.job("root")
            _ = try await store.insert([root])
            var child = waiting("child", on: [root])
            child.availableAt = .now() + .seconds(3_600)
            _ = try await store.insert([child])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            _ = try await store.finish([try Fixture.finished(job)])
            let freed = try #require(try await store.job(child.id))
            #expect(freed.blockedBy == 0 && freed.availableAt == child.availableAt)
            #expect(try await claimedKeys(store).isEmpty)
        }
    }
}
