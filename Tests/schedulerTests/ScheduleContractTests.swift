import Contracts
import Schedules
import Testing

@testable import scheduler

/// What both stores promise of schedules and occurrences, through the code that stands on them.
struct ScheduleContractTests {
    private func publish(_ event: SignalPublished, version: Int64, now: Timestamp = Fixture.start, _ store: any SchedulerStore) async throws -> Bool {
        try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: version, now: now, in: $0) }
    }

    private func unpublish(_ event: SignalPublished, version: Int64, now: Timestamp = Fixture.start, _ store: any SchedulerStore) async throws -> Bool
    {
        let end = SignalUnpublished(signalID: event.signalID, accountID: event.accountID, reason: "test")
        return try await store.transaction { try await ScheduleKeeper.unpublish(end, subjectVersion: version, at: now, now: now, in: $0) }
    }

    @Test(arguments: StoreKind.available) func eventsInAnyOrderAndTwiceLeaveTheSame(kind: StoreKind) async throws {
        for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1], [1, 3, 2, 3, 1], [3, 3, 1, 2]] {
            try await kind.with { store in
                let signal = SignalID.make()
                let first = Fixture.publication(.interval(seconds: 60), signal: signal)
                let last = Fixture.publication(.interval(seconds: 7_200), signal: signal)
                for version in order {
                    switch version {
                    case 1: _ = try await publish(first, version: 1, store)
                    case 2: _ = try await unpublish(first, version: 2, store)
                    default: _ = try await publish(last, version: 3, store)
                    }
                }
                let schedule = try #require(try await store.schedule(of: signal))
                #expect(schedule.state == .active && schedule.subjectVersion == 3 && schedule.publication == last, "\(order)")
                let grid = try ScheduleGrid(.interval(seconds: 7_200))
                #expect(schedule.nextDueAt == grid.next(after: Fixture.start))
            }
        }
    }

    @Test(arguments: StoreKind.available) func aSignalTakenDownDoesNotRun(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication()
            _ = try await publish(event, version: 1, store)
            _ = try await unpublish(event, version: 2, store)
            let late = try await publish(event, version: 1, store)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            #expect(!late && schedule.state == .unpublished && schedule.nextDueAt == nil)
            let made = try await OccurrenceMaker(store: store).makeDue(at: Fixture.start + .seconds(86_400))
            #expect(made.schedules == 0)
        }
    }

    @Test(arguments: StoreKind.available) func whatCannotBeArmedSaysWhy(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.cron(expression: "61 * * * *", zone: "UTC"))
            _ = try await publish(event, version: 1, store)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            #expect(schedule.state == .invalid && schedule.invalidReason?.contains("61") == true)
        }
    }

    @Test(arguments: StoreKind.available) func aDayOfAnHourlyScheduleIsTwentyFourRuns(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication()
            _ = try await publish(event, version: 1, store)
            let maker = OccurrenceMaker(store: store)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            for minute in 1...(24 * 60) {
                let now = Fixture.start + .seconds(minute * 60)
                // As in life: nothing is looked at before it is due.
                guard let due = try await store.earliestDueTime(), due <= now else { continue }
                _ = try await maker.makeDue(at: now)
                let claimed = try await store.claim(Fixture.claim(5, class: .signal))
                _ = try await store.finish(claimed.map { try Fixture.finished($0) })
            }
            let found = try await store.occurrences(of: schedule.id, before: nil, limit: 100)
            #expect(found.count == 24 && found.allSatisfy { $0.outcome == .fired && $0.jobID != nil && $0.asOf == $0.dueAt })
            let jobs = try await store.jobs(JobFilter(accountID: Fixture.account, signalID: event.signalID, limit: 100))
            #expect(jobs.count == 24 && Set(jobs.compactMap(\.occurrenceID)) == Set(found.map(\.id)))
            let spec = try WireJSON.decode(SignalRunSpec.self, from: try #require(jobs.first).spec)
            #expect(spec.versionSHA256 == event.versionSHA256 && spec.occurrenceID == jobs[0].occurrenceID)
        }
    }

    @Test(arguments: StoreKind.available) func aRunThatHasNotEndedSkipsTheNextAndDowntimeIsCounted(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 60))
            _ = try await publish(event, version: 1, store)
            let maker = OccurrenceMaker(store: store)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            let first = try #require(schedule.nextDueAt)
            _ = try await maker.makeDue(at: first)
            _ = try await maker.makeDue(at: first + .seconds(60))
            _ = try await maker.makeDue(at: first + .seconds(60))
            // Two days down, then back: one row for all that was lost.
            let now = first + .seconds(2 * 86_400 + 30)
            _ = try await maker.makeDue(at: now)
            let found = try await store.occurrences(of: schedule.id, before: nil, limit: 10)
            #expect(found.map(\.outcome) == [.skipped, .missed, .skipped, .fired])
            #expect(found[1].count == 2 * 1_440 - 2 && found[1].rangeTo == first + .seconds(2 * 86_400 - 60))
            let faults = GridAudit.faults(
                of: ScheduleEra(scheduleID: schedule.id, cadence: .interval(seconds: 60), from: Fixture.start, to: nil),
                from: Fixture.start,
                to: now,
                occurrences: found.reversed()
            )
            #expect(faults.isEmpty, "\(faults)")
            // One lost and one that nobody asked for are found.
            let lost = GridAudit.faults(
                of: ScheduleEra(scheduleID: schedule.id, cadence: .interval(seconds: 60), from: Fixture.start, to: nil),
                from: Fixture.start,
                to: now,
                occurrences: [found[3], found[1], found[0]]
            )
            #expect(lost.count == 1)
        }
    }

    @Test(arguments: StoreKind.available) func aBarThatClosesSetsOffOneRun(kind: StoreKind) async throws {
        try await kind.with { store in
            let live = Fixture.publication(.barClose(instrument: "BTCUSD", interval: "15s"))
            let replayed = Fixture.publication(.barClose(instrument: "BTCUSD@replay-1", interval: "15s"), feed: .replay)
            let other = Fixture.publication(.barClose(instrument: "BTCUSD", interval: "1m"))
            for event in [live, replayed, other] { _ = try await publish(event, version: 1, store) }
            let watches = try await store.watchedBars()
            #expect(watches.map(\.instrument) == ["BTCUSD", "BTCUSD", "BTCUSD@replay-1"])
            let close = Fixture.start + .seconds(15)
            let known = close + .milliseconds(250)
            let bar = ClosedBar.Bar(
                start: Fixture.start,
                end: close,
                open: try #require(Price("1")),
                high: try #require(Price("1")),
                low: try #require(Price("1")),
                close: try #require(Price("1")),
                volume: nil
            )
            let event = BarsClosed(
                intervalSeconds: 15,
                closeAt: close,
                knownAt: known,
                bars: [
                    ClosedBar(instrumentID: .make(), symbol: "BTCUSD", feed: .live, revision: 1, bar: bar),
                    ClosedBar(instrumentID: .make(), symbol: "BTCUSD@replay-1", feed: .replay, revision: 1, bar: bar),
                ]
            )
            let jobs = try await store.transaction { try await BarCloseKeeper.apply(event, now: known, in: $0) }
            let again = try await store.transaction { try await BarCloseKeeper.apply(event, now: known, in: $0) }
            #expect(jobs == 2 && again == 0)
            let first = try await store.occurrences(of: try #require(try await store.schedule(of: live.signalID)).id, before: nil, limit: 10)
            let second = try await store.occurrences(of: try #require(try await store.schedule(of: replayed.signalID)).id, before: nil, limit: 10)
            let none = try await store.occurrences(of: try #require(try await store.schedule(of: other.signalID)).id, before: nil, limit: 10)
            #expect(first.map(\.outcome) == [.fired] && first[0].dueAt == close && first[0].asOf == known)
            #expect(second.map(\.outcome) == [.fired] && second[0].dueAt == known)
            #expect(none.isEmpty)
        }
    }

    private func closed(_ instrument: String, at close: Timestamp, knownAt: Timestamp, feed: FeedKind = .replay) throws -> BarsClosed {
        let price = try #require(Price("1"))
        let bar = ClosedBar.Bar(start: close - .seconds(15), end: close, open: price, high: price, low: price, close: price, volume: nil)
        return BarsClosed(
            intervalSeconds: 15,
            closeAt: close,
            knownAt: knownAt,
            bars: [ClosedBar(instrumentID: .make(), symbol: instrument, feed: feed, revision: 1, bar: bar)]
        )
    }

    @Test(arguments: StoreKind.available) func everyReplayShowsItsOwnBars(kind: StoreKind) async throws {
        try await kind.with { store in
            let first = Fixture.publication(.barClose(instrument: "BTCUSD@replay-1", interval: "15s"), feed: .replay)
            let moved = Fixture.publication(
                .barClose(instrument: "BTCUSD@replay-2", interval: "15s"),
                signal: first.signalID,
                at: Fixture.start + .seconds(60),
                feed: .replay
            )
            let close = Fixture.start - .seconds(86_400)
            _ = try await publish(first, version: 1, store)
            let one = try closed("BTCUSD@replay-1", at: close, knownAt: Fixture.start + .seconds(5))
            let made = try await store.transaction { try await BarCloseKeeper.apply(one, now: one.knownAt, in: $0) }
            _ = try await store.finish(try await store.claim(Fixture.claim(class: .signal)).map { try Fixture.finished($0) })
            _ = try await publish(moved, version: 2, now: moved.publishedAt, store)
            // The same recorded bar, shown again by another replay.
            let two = try closed("BTCUSD@replay-2", at: close, knownAt: Fixture.start + .seconds(65))
            let madeAgain = try await store.transaction { try await BarCloseKeeper.apply(two, now: two.knownAt, in: $0) }
            let doubled = try await store.transaction { try await BarCloseKeeper.apply(two, now: two.knownAt, in: $0) }
            #expect(made == 1 && madeAgain == 1 && doubled == 0)
            let found = try await store.occurrences(of: try #require(try await store.schedule(of: first.signalID)).id, before: nil, limit: 10)
            #expect(found.map(\.barInstrument) == ["BTCUSD@replay-2", "BTCUSD@replay-1"] && found.allSatisfy { $0.barEnd == close })
        }
    }

    @Test(arguments: StoreKind.available) func whatIsTakenDownOwesOnlyWhatWasDueBefore(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 60))
            _ = try await publish(event, version: 1, store)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            let first = try #require(schedule.nextDueAt)
            // Taken down half a second after the third due time, heard of two due times later; nothing was looked at in between.
            let end = SignalUnpublished(signalID: event.signalID, accountID: event.accountID, reason: "test")
            let at = first + .seconds(120) + .milliseconds(500)
            _ = try await store.transaction {
                try await ScheduleKeeper.unpublish(end, subjectVersion: 2, at: at, now: first + .seconds(150), in: $0)
            }
            let found = try await store.occurrences(of: schedule.id, before: nil, limit: 10)
            #expect(found.map(\.dueAt) == [first + .seconds(120), first + .seconds(60), first])
            // The last one is within its window of a minute, so it still runs; the others are lost, and say why.
            #expect(found.map(\.outcome) == [.late, .missed, .missed])
            #expect(found.map(\.reason) == [nil, "unpublished", "unpublished"])
            let claimed = try await store.claim(Fixture.claim(class: .signal))
            #expect(claimed.map(\.id) == [try #require(found[0].jobID)])
            #expect(try await store.schedule(of: event.signalID)?.cursor == at)
            if let memory = store as? InMemorySchedulerStore { #expect(memory.eras.map(\.to) == [at]) }
        }
    }

    @Test(arguments: StoreKind.available) func theVersionThatWasLiveRunsWhatWasDueBeforeTheNext(kind: StoreKind) async throws {
        try await kind.with { store in
            let old = Fixture.publication(.interval(seconds: 60))
            _ = try await publish(old, version: 1, store)
            let schedule = try #require(try await store.schedule(of: old.signalID))
            let due = try #require(schedule.nextDueAt)
            let new = Fixture.publication(.interval(seconds: 3_600), signal: old.signalID, at: due + .milliseconds(100))
            _ = try await publish(new, version: 2, now: due + .milliseconds(200), store)
            let found = try await store.occurrences(of: schedule.id, before: nil, limit: 10)
            #expect(found.map(\.dueAt) == [due] && found.map(\.outcome) == [.fired])
            let job = try #require(try await store.claim(Fixture.claim(class: .signal)).first)
            #expect(try WireJSON.decode(SignalRunSpec.self, from: job.spec).versionID == old.versionID)
        }
    }

    @Test(arguments: [1_000, 1_001]) func aCrowdIsMoreThanAThousandOfOneSecond(count: Int) async throws {
        let store = InMemorySchedulerStore()
        let events = (0..<count).map { _ in Fixture.publication(.interval(seconds: 3_600)) }
        try await store.transaction { transaction in
            for event in events { _ = try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: transaction) }
        }
        let now = try #require(try await store.earliestDueTime()) + .seconds(3)
        let maker = OccurrenceMaker(store: store)
        while try await maker.makeDue(at: now).schedules > 0 {}
        var outcomes: Set<OccurrenceOutcome> = []
        for event in [events[0], events[count - 1]] {
            let schedule = try #require(try await store.schedule(of: event.signalID))
            outcomes.formUnion(try await store.occurrences(of: schedule.id, before: nil, limit: 5).map(\.outcome))
        }
        #expect(outcomes == [count > TickPlan.crowd ? .fired : .late])
    }

    @Test(arguments: StoreKind.available) func schedulesOfASecondAreCounted(kind: StoreKind) async throws {
        try await kind.with { store in
            for seconds in [60, 60, 60, 7_200] { _ = try await publish(Fixture.publication(.interval(seconds: seconds)), version: 1, store) }
            let due = try #require(try await store.earliestDueTime())
            let all = try await store.transaction { try await $0.countSchedules(dueAt: due, limit: 10) }
            let some = try await store.transaction { try await $0.countSchedules(dueAt: due, limit: 2) }
            #expect(all == 3 && some == 2)
        }
    }

    @Test func aRefusedScheduleIsSeenInItsCadence() async throws {
        let store = InMemorySchedulerStore()
        let event = Fixture.publication(.interval(seconds: Cadence.maximumIntervalSeconds + 1))
        _ = try await publish(event, version: 1, store)
        let answer = CadenceAnswer(try #require(try await store.schedule(of: event.signalID)), last: nil)
        #expect(answer.signalState == "invalid" && answer.invalidReason?.contains("366 days") == true)
        #expect(throws: Never.self) { try ScheduleGrid(.interval(seconds: Cadence.maximumIntervalSeconds)) }
        #expect(throws: Never.self) { try ScheduleGrid(.barClose(instrument: "BTCUSD", interval: "366d")) }
    }

    @Test(arguments: StoreKind.available) func recordedAndRejectedRuns(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 60))
            _ = try await publish(event, version: 1, store)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            let first = try #require(schedule.nextDueAt)
            let maker = OccurrenceMaker(store: store)
            for minute in 0..<3 {
                _ = try await maker.makeDue(at: first + .seconds(minute * 60))
                let jobs = try await store.claim(Fixture.claim(5, class: .signal))
                let failure: FailureKind? = minute == 2 ? .timeLimit : nil
                _ = try await store.finish(jobs.map { try Fixture.finished($0, failure == nil ? .completed : .failed, failure: failure) })
            }
            let made = try await store.occurrences(of: schedule.id, before: nil, limit: 10)
            let recorded = RunRecorded(
                jobID: try #require(made[2].jobID),
                signalID: event.signalID,
                occurrenceID: made[2].id,
                firstSeq: 1,
                lastSeq: 1,
                rows: 1,
                late: false,
                recordedAt: first + .seconds(1)
            )
            let rejected = RunRejected(
                jobID: try #require(made[1].jobID),
                signalID: event.signalID,
                occurrenceID: made[1].id,
                row: 0,
                reason: "value is no direction"
            )
            for _ in 0..<2 {
                try await store.transaction { try await RunHandler.apply(recorded, in: $0) }
                try await store.transaction { try await RunHandler.apply(rejected, in: $0) }
            }
            let found = try await store.occurrences(of: schedule.id, before: nil, limit: 10)
            #expect(found[2].recordedAt == first + .seconds(1) && found[2].outcome == .fired)
            #expect(found[1].outcome == .failed && found[1].reason?.contains("value is no direction") == true && found[1].recordedAt == nil)
            #expect(found[0].outcome == .failed && found[0].reason == "time_limit")
        }
    }

    @Test func aCrowdMayTakeFiveSeconds() async throws {
        let store = InMemorySchedulerStore()
        for _ in 0..<1_050 { _ = try await publish(Fixture.publication(.interval(seconds: 60)), version: 1, store) }
        let due = try #require(try await store.earliestDueTime())
        let maker = OccurrenceMaker(store: store)
        var total = 0
        for seconds in 2...4 { total += try await maker.makeDue(at: due + .seconds(seconds)).jobs }
        let late = store.said.compactMap { $0.body as? OccurrenceSettled }.filter { $0.outcome != .fired }
        #expect(total == 1_050 && late.isEmpty)
    }
}
