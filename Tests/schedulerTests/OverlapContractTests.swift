import Contracts
import Testing

@testable import scheduler

/// What both stores promise of runs that meet, through ticks, claims and ends.
struct OverlapContractTests {
    /// A schedule of a minute with a rule, and its runs so far.
    private struct Scene {
        let store: any SchedulerStore
        let maker: OccurrenceMaker
        let schedule: Schedule

        init(_ store: any SchedulerStore, _ policy: SchedulePolicy) async throws {
            self.store = store
            maker = OccurrenceMaker(store: store)
            let event = Fixture.publication(.interval(seconds: 60), policy: policy)
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            schedule = try #require(try await store.schedule(of: event.signalID))
        }

        func due(_ minute: Int) -> Timestamp { Fixture.start + .seconds(minute * 60) }

        func tick(_ minute: Int) async throws { _ = try await maker.makeDue(at: due(minute)) }

        func claim() async throws -> [Job] { try await store.claim(Fixture.claim(100, class: .signal)) }

        /// Outcome and reason of each due time, in order.
        func outcomes() async throws -> [String] {
            try await store.occurrences(of: schedule.id, before: nil, limit: 1_000).reversed().map {
                "\($0.outcome)\($0.reason.map { " " + $0 } ?? "")"
            }
        }

        /// The state of the run of a due time.
        func run(_ minute: Int) async throws -> Job {
            let occurrences = try await store.occurrences(of: schedule.id, before: due(minute) + .seconds(1), limit: 1)
            let id = try #require(occurrences.first.flatMap { $0.dueAt == due(minute) ? $0.jobID : nil })
            return try #require(try await store.job(id))
        }
    }

    @Test(arguments: StoreKind.available) func oneWaitsForTheEndAndTheNextIsLeftOut(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = try await Scene(store, SchedulePolicy(overlap: .bufferOne))
            try await scene.tick(1)
            let first = try #require(try await scene.claim().first)
            try await scene.tick(2)
            try await scene.tick(3)
            #expect(try await scene.outcomes() == ["fired", "late buffered", "skipped overlap"])
            #expect(try await scene.claim().isEmpty)
            #expect(try await scene.run(2).blockedBy == 1)
            // However it ends.
            _ = try await store.finish([try Fixture.finished(first, .failed, failure: .exception)])
            let second = try #require(try await scene.claim().first)
            let waited = try await scene.run(2)
            #expect(second.id == waited.id)
            try await scene.tick(4)
            #expect(try await scene.outcomes() == ["failed exception", "late buffered", "skipped overlap", "late buffered"])
        }
    }

    @Test(arguments: StoreKind.available) func allWaitInTheOrderOfTime(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = try await Scene(store, SchedulePolicy(overlap: .bufferAll))
            try await scene.tick(1)
            var job = try #require(try await scene.claim().first)
            for minute in 2...4 { try await scene.tick(minute) }
            // One in the middle goes; the last still waits for the first.
            let middle = try await scene.run(3).id
            #expect(try await store.cancel(middle) == .cancelled)
            #expect(try await scene.claim().isEmpty)
            for minute in [2, 4] {
                _ = try await store.finish([try Fixture.finished(job)])
                let next = try await scene.claim()
                let expected = try await scene.run(minute)
                #expect(next.map(\.id) == [expected.id])
                job = try #require(next.first)
            }
            #expect(try await scene.outcomes() == ["fired", "late buffered", "failed cancelled", "late buffered"])
        }
    }

    @Test(arguments: StoreKind.available) func onlySoManyWait(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = try await Scene(store, SchedulePolicy(overlap: .bufferAll, catchUpSeconds: 86_400))
            try await scene.tick(1)
            _ = try await scene.claim()
            // Two hours of nobody looking: a hundred wait, the latest of them all.
            try await scene.tick(121)
            let outcomes = try await scene.outcomes()
            #expect(outcomes.count == 121 && outcomes.filter { $0 == "late buffered" }.count == OverlapPlan.maximumWaiting)
            #expect(outcomes.filter { $0 == "skipped buffer_full" }.count == 20 && outcomes.suffix(100).allSatisfy { $0 == "late buffered" })
            try await scene.tick(122)
            #expect(try await scene.outcomes().last == "skipped buffer_full")
        }
    }

    @Test(arguments: StoreKind.available) func theOtherIsAskedToStopAndWaitedFor(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = try await Scene(store, SchedulePolicy(overlap: .cancelOther))
            try await scene.tick(1)
            let first = try #require(try await scene.claim().first)
            try await scene.tick(2)
            let asked = try await scene.run(1)
            #expect(asked.cancelRequestedAt != nil && asked.state == .running)
            #expect(try await scene.claim().isEmpty)
            // The one that waits is cancelled in its turn; nothing piles up.
            try await scene.tick(3)
            let replaced = try await scene.run(2)
            #expect(replaced.state == .cancelled && replaced.errorMessage == JobEnding.forALaterRun)
            _ = try await store.finish([try Fixture.finished(first)])
            #expect(try await scene.run(1).state == .cancelled)
            let claimed = try await scene.claim()
            let expected = try await scene.run(3)
            #expect(claimed.map(\.id) == [expected.id])
            #expect(try await scene.outcomes() == ["failed cancelled", "failed cancelled", "late buffered"])
        }
    }

    @Test(arguments: StoreKind.available) func aRunThatNobodyHasGoesOnTheSpot(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = try await Scene(store, SchedulePolicy(overlap: .cancelOther))
            try await scene.tick(1)
            try await scene.tick(2)
            #expect(try await scene.run(1).state == .cancelled)
            #expect(try await scene.outcomes() == ["failed cancelled", "fired"])
            #expect(try await scene.claim().count == 1)
        }
    }

    @Test(arguments: StoreKind.available) func theOtherEndsAtOnceAndItsWorkerHasLostIt(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = try await Scene(store, SchedulePolicy(overlap: .terminateOther))
            try await scene.tick(1)
            let first = try #require(try await scene.claim().first)
            try await scene.tick(2)
            let (ended, next) = (try await scene.run(1), try await scene.run(2))
            #expect(ended.state == .cancelled && ended.errorMessage == JobEnding.forALaterRun)
            #expect(try await scene.claim().map(\.id) == [next.id])
            #expect(try await scene.outcomes() == ["failed cancelled", "fired"])
            // Its worker hears that it has lost it, and nothing that it says counts.
            let lease = LeaseRenewal(jobID: first.id, attemptID: try #require(first.attemptID), progress: nil)
            #expect(try await store.renew([lease]).map(\.state) == [.lost])
            #expect(try await store.finish([try Fixture.finished(first)]).map(\.state) == [.stale])
        }
    }

    @Test(arguments: StoreKind.available) func bothRun(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = try await Scene(store, SchedulePolicy(overlap: .allowAll))
            for minute in 1...3 { try await scene.tick(minute) }
            #expect(try await scene.claim().count == 3)
            #expect(try await scene.outcomes() == ["fired", "fired", "fired"])
        }
    }

    @Test(arguments: StoreKind.available) func theCloseOfABarKeepsToTheRule(kind: StoreKind) async throws {
        try await kind.with { store in
            let policy = SchedulePolicy(overlap: .bufferOne, endAt: Fixture.start + .seconds(45))
            let event = Fixture.publication(.barClose(instrument: "BTCUSD", interval: "15s"), policy: policy)
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            let schedule = try #require(try await store.schedule(of: event.signalID))
            for index in 1...4 {
                let end = Fixture.start + .seconds(index * 15)
                _ = try await store.transaction { try await BarCloseKeeper.apply(try Fixture.closed(["BTCUSD"], at: end), now: end, in: $0) }
            }
            let found = try await store.occurrences(of: schedule.id, before: nil, limit: 10).reversed()
            #expect(found.map(\.outcome) == [.fired, .late, .skipped])
        }
    }
}
