import Contracts
import Cryptography
import Schedules
import Testing

@testable import scheduler

/// Pauses, by hand and by failures: what both stores promise.
struct PauseTests {
    private let start = Fixture.start

    private func publish(_ event: SignalPublished, version: Int64 = 1, at now: Timestamp? = nil, _ store: any SchedulerStore) async throws {
        _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: version, now: now ?? event.publishedAt, in: $0) }
    }

    private func pause(_ signal: SignalID, at now: Timestamp, reason: String? = nil, _ store: any SchedulerStore) async throws -> Schedule {
        try await store.transaction { transaction in
            let schedule = try #require(try await transaction.lockedSchedule(of: signal))
            return try await PauseKeeper.pause(schedule, by: .owner, reason: reason, now: now, in: transaction)
        }
    }

    private func resume(_ signal: SignalID, at now: Timestamp, _ store: any SchedulerStore) async throws -> Schedule {
        try await store.transaction { transaction in
            let schedule = try #require(try await transaction.lockedSchedule(of: signal))
            return try await PauseKeeper.resume(schedule, by: .owner, now: now, in: transaction)
        }
    }

    private func occurrences(_ signal: SignalID, _ store: any SchedulerStore) async throws -> [Occurrence] {
        let schedule = try #require(try await store.schedule(of: signal))
        return try await store.occurrences(of: schedule.id, before: nil, limit: 200).reversed()
    }

    private func faults(_ event: SignalPublished, _ store: any SchedulerStore) async throws -> [String] {
        let schedule = try #require(try await store.schedule(of: event.signalID))
        let era = ScheduleEra(scheduleID: schedule.id, cadence: event.manifest.schedule, from: event.publishedAt, to: nil)
        return GridAudit.faults(of: era, from: event.publishedAt, to: schedule.cursor, occurrences: try await occurrences(event.signalID, store))
    }

    /// What is due once a day is not left without an outcome until the next day.
    @Test(arguments: StoreKind.available) func whatIsDueWithinTheHourIsWrittenDownWithinIt(kind: StoreKind) async throws {
        try await kind.with { store in
            let signal = Fixture.publication(.interval(seconds: 86_400))
            let daily = try #require(try ScheduleGrid(.interval(seconds: 86_400)).next(after: start + .seconds(1_800)))
            try await publish(signal, store)
            _ = try await pause(signal.signalID, at: daily - .seconds(1_800), store)
            #expect(try await store.earliestDueTime() == daily)
            _ = try await OccurrenceMaker(store: store).makeDue(at: daily)
            #expect(try await occurrences(signal.signalID, store).map(\.dueAt) == [daily])
            // Then nothing until it is due again.
            #expect(try await store.earliestDueTime() == daily + .seconds(86_400))
        }
    }

    @Test(arguments: StoreKind.available) func whatIsDueInAPauseIsSkippedAndCounted(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 600))
            try await publish(event, store)
            let maker = OccurrenceMaker(store: store)
            let paused = try await pause(event.signalID, at: start + .seconds(30), reason: "holidays", store)
            #expect(paused.pause == SchedulePause(since: start + .seconds(30), by: .owner, reason: "holidays") && paused.nextRunAt == nil)
            // One look an hour is enough.
            let look = try #require(try await store.earliestDueTime())
            #expect(look >= start + .seconds(3_600))
            let made = try await maker.makeDue(at: look)
            #expect(made.schedules == 1 && made.jobs == 0)
            let resumed = try await resume(event.signalID, at: start + .seconds(4_210), store)
            #expect(resumed.pause == nil && resumed.nextDueAt == start + .seconds(4_800))
            let skipped = try await occurrences(event.signalID, store)
            #expect(skipped.map(\.dueAt) == (1...7).map { start + .seconds(600 * $0) })
            #expect(skipped.allSatisfy { $0.outcome == .skipped && $0.reason == "paused" && $0.jobID == nil })
            // Nothing of the pause is caught up, and the grid goes on.
            let next = try await maker.makeDue(at: start + .seconds(4_800))
            #expect(next.jobs == 1)
            #expect(try await occurrences(event.signalID, store).last?.outcome == .fired)
            #expect(try await faults(event, store).isEmpty)
        }
    }

    @Test(arguments: StoreKind.available) func moreThanAThousandAreOneRow(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 1))
            try await publish(event, store)
            _ = try await pause(event.signalID, at: start, store)
            _ = try await OccurrenceMaker(store: store).makeDue(at: start + .seconds(7_200))
            let rows = try await occurrences(event.signalID, store)
            #expect(rows.count == 1 && rows[0].count == 7_200 && rows[0].outcome == .skipped && rows[0].reason == "paused")
            #expect(try await faults(event, store).isEmpty)
        }
    }

    @Test(arguments: StoreKind.available) func whatWasDueBeforeAPauseStillRuns(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 60))
            try await publish(event, store)
            _ = try await pause(event.signalID, at: start + .milliseconds(60_500), store)
            let rows = try await occurrences(event.signalID, store)
            #expect(rows.map(\.outcome) == [.fired])
            #expect(try await store.claim(Fixture.claim(class: .signal)).count == 1)
        }
    }

    @Test(arguments: StoreKind.available) func pausingAndResumingTwiceChangesNothing(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 60))
            try await publish(event, store)
            let untouched = try await resume(event.signalID, at: start + .seconds(1), store)
            #expect(untouched.resumedAt == nil)
            let first = try await pause(event.signalID, at: start + .seconds(10), reason: "a", store)
            let second = try await pause(event.signalID, at: start + .seconds(20), reason: "b", store)
            #expect(first == second && second.pause?.reason == "a")
            let resumed = try await resume(event.signalID, at: start + .seconds(30), store)
            let again = try await resume(event.signalID, at: start + .seconds(40), store)
            #expect(resumed == again)
            guard let memory = store as? InMemorySchedulerStore else { return }
            let said = memory.said.compactMap { $0.body as? ScheduleChanged }
            #expect(said.map(\.state) == [.paused, .active] && said.map(\.by) == [.owner, .owner] && said[0].reason == "a")
        }
    }

    @Test(arguments: StoreKind.available) func aPauseOutlivesARepublication(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 60))
            try await publish(event, store)
            _ = try await pause(event.signalID, at: start + .seconds(10), store)
            let newer = Fixture.publication(.interval(seconds: 120), signal: event.signalID, at: start + .seconds(200))
            try await publish(newer, version: 2, store)
            let end = SignalUnpublished(signalID: event.signalID, accountID: event.accountID, reason: "test")
            _ = try await store.transaction { [start] transaction in
                try await ScheduleKeeper.unpublish(
                    end,
                    subjectVersion: 3,
                    at: start + .seconds(500),
                    now: start + .seconds(500),
                    in: transaction
                )
            }
            let last = Fixture.publication(.interval(seconds: 60), signal: event.signalID, at: start + .seconds(700))
            try await publish(last, version: 4, store)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            #expect(schedule.pause != nil && schedule.state == .active && schedule.nextRunAt == nil)
            let rows = try await occurrences(event.signalID, store)
            #expect(rows.map(\.dueAt) == [60, 120, 180, 240, 360, 480].map { start + .seconds($0) })
            #expect(rows.allSatisfy { $0.reason == "paused" })
            let resumed = try await resume(event.signalID, at: start + .seconds(710), store)
            #expect(resumed.nextDueAt == start + .seconds(720))
        }
    }

    @Test(arguments: StoreKind.available) func aPauseOutlivesAPublicationThatIsInvalid(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.interval(seconds: 60))
            try await publish(event, store)
            _ = try await pause(event.signalID, at: start + .seconds(10), reason: "holidays", store)
            let broken = Fixture.publication(.cron(expression: "never", zone: "UTC"), signal: event.signalID, at: start + .seconds(200))
            try await publish(broken, version: 2, store)
            #expect(try await store.schedule(of: event.signalID)?.state == .invalid)
            let last = Fixture.publication(.interval(seconds: 60), signal: event.signalID, at: start + .seconds(700))
            try await publish(last, version: 3, store)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            #expect(schedule.state == .active && schedule.pause?.reason == "holidays" && schedule.nextRunAt == nil)
        }
    }

    private static func bar(until end: Timestamp) throws -> ClosedBar.Bar {
        let price = try #require(Price("616.5"))
        return ClosedBar.Bar(start: end - .seconds(60), end: end, open: price, high: price, low: price, close: price, volume: nil)
    }

    @Test(arguments: StoreKind.available) func barsThatCloseInAPauseAreSkipped(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = Fixture.publication(.barClose(instrument: "BTCUSD", interval: "1m"))
            try await publish(event, store)
            func close(_ seconds: Int, hasBar: Bool = true) async throws -> Int {
                let end = start + .seconds(seconds)
                let bar = ClosedBar(
                    instrumentID: .make(),
                    symbol: "BTCUSD",
                    feed: .live,
                    revision: 1,
                    bar: hasBar ? try Self.bar(until: end) : nil
                )
                let event = BarsClosed(intervalSeconds: 60, closeAt: end, knownAt: end, bars: [bar])
                return try await store.transaction { try await BarCloseKeeper.apply(event, now: end, in: $0) }
            }
            _ = try await pause(event.signalID, at: start + .seconds(30), store)
            #expect(try await close(60) == 0)
            #expect(try await close(120, hasBar: false) == 0)
            _ = try await resume(event.signalID, at: start + .seconds(200), store)
            // It closed in the pause and is told after it.
            #expect(try await close(180) == 0)
            #expect(try await close(240) == 1)
            let rows = try await occurrences(event.signalID, store)
            #expect(rows.map(\.reason) == ["paused", "no_bar", "paused", nil])
        }
    }

    // MARK: Failures

    /// Runs what is due and ends it; gives the job.
    private func run(_ event: SignalPublished, at due: Timestamp, _ failure: FailureKind?, _ store: any SchedulerStore) async throws {
        _ = try await OccurrenceMaker(store: store).makeDue(at: due)
        let job = try #require(try await store.claim(Fixture.claim(class: .signal)).first)
        _ = try await store.finish([try Fixture.finished(job, failure == nil ? .completed : .failed, failure: failure)])
        guard failure == nil else { return }
        let recorded = RunRecorded(
            jobID: job.id,
            signalID: event.signalID,
            occurrenceID: job.occurrenceID,
            firstSeq: 1,
            lastSeq: 1,
            rows: 1,
            late: false,
            recordedAt: due
        )
        try await store.transaction { try await RunHandler.apply(recorded, in: $0) }
    }

    private func failing(after count: Int?) -> SignalPublished {
        var manifest = Fixture.publication(.interval(seconds: 60)).manifest
        manifest.policy.pauseAfterFailures = count
        let event = Fixture.publication(.interval(seconds: 60))
        return SignalPublished(
            signalID: event.signalID,
            accountID: event.accountID,
            versionID: event.versionID,
            versionSHA256: event.versionSHA256,
            files: event.files,
            manifest: manifest,
            feed: event.feed,
            publishedAt: event.publishedAt
        )
    }

    @Test func aReasonIsCutByCodePoints() {
        let long = String(repeating: "e\u{301}", count: 400)
        #expect(SchedulePause.capped(long).unicodeScalars.count == SchedulePause.maximumReasonLength)
        #expect(SchedulePause.capped("short") == "short")
    }

    @Test(arguments: StoreKind.available) func soManyFailuresInARowPause(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = failing(after: 2)
            try await publish(event, store)
            try await run(event, at: start + .seconds(60), .exception, store)
            #expect(try await store.schedule(of: event.signalID)?.failuresInARow == 1)
            // A run that is recorded begins the count anew.
            try await run(event, at: start + .seconds(120), nil, store)
            #expect(try await store.schedule(of: event.signalID)?.failuresInARow == 0)
            try await run(event, at: start + .seconds(180), .timeLimit, store)
            #expect(try await store.schedule(of: event.signalID)?.pause == nil)
            try await run(event, at: start + .seconds(240), .outOfMemory, store)
            let paused = try #require(try await store.schedule(of: event.signalID))
            #expect(paused.pause?.by == .failures)
            #expect(paused.pause?.reason == "2 runs in a row failed by the code's fault; the last: out_of_memory")
            // Both failures stay what they were.
            #expect(try await occurrences(event.signalID, store).prefix(4).map(\.outcome) == [.failed, .fired, .failed, .failed])
            if let memory = store as? InMemorySchedulerStore {
                let said = memory.said.compactMap { $0.body as? ScheduleChanged }
                #expect(said.map(\.state) == [.paused] && said[0].by == .failures && said[0].reason == paused.pause?.reason)
            }
        }
    }

    @Test(arguments: StoreKind.available) func resumingAndRepublishingBeginTheCountAnew(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = failing(after: 1)
            try await publish(event, store)
            try await run(event, at: start + .seconds(60), .exception, store)
            let paused = try #require(try await store.schedule(of: event.signalID))
            #expect(paused.pause?.by == .failures && paused.failuresInARow == 1)
            let now = max(start + .seconds(90), try #require(paused.pause?.since))
            let resumed = try await resume(event.signalID, at: now, store)
            #expect(resumed.failuresInARow == 0 && resumed.pause == nil)
        }
        try await kind.with { store in
            let event = failing(after: 2)
            try await publish(event, store)
            try await run(event, at: start + .seconds(60), .exception, store)
            let newer = Fixture.publication(.interval(seconds: 60), signal: event.signalID, at: start + .seconds(100))
            try await publish(newer, version: 2, store)
            #expect(try await store.schedule(of: event.signalID)?.failuresInARow == 0)
        }
    }

    @Test(arguments: StoreKind.available) func ourOwnFaultsAndSilentManifestsPauseNothing(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = failing(after: nil)
            try await publish(event, store)
            for minute in 1...3 { try await run(event, at: start + .seconds(60 * minute), .exception, store) }
            let schedule = try #require(try await store.schedule(of: event.signalID))
            #expect(schedule.pause == nil && schedule.failuresInARow == 3)
        }
        try await kind.with { store in
            let event = failing(after: 1)
            try await publish(event, store)
            _ = try await OccurrenceMaker(store: store).makeDue(at: start + .seconds(60))
            let job = try #require(try await store.claim(Fixture.claim(class: .signal)).first)
            _ = try await store.cancel(job.id)
            _ = try await store.finish([try Fixture.finished(job, .failed, failure: .exception)])
            // It was called off: that is nobody's fault.
            #expect(try await store.schedule(of: event.signalID)?.pause == nil)
        }
    }

    @Test(arguments: StoreKind.available) func rowsThatSignalsRefusesCount(kind: StoreKind) async throws {
        try await kind.with { store in
            let event = failing(after: 1)
            try await publish(event, store)
            _ = try await OccurrenceMaker(store: store).makeDue(at: start + .seconds(60))
            let job = try #require(try await store.claim(Fixture.claim(class: .signal)).first)
            _ = try await store.finish([try Fixture.finished(job)])
            let rejected = RunRejected(jobID: job.id, signalID: event.signalID, occurrenceID: job.occurrenceID, row: 3, reason: "no number")
            try await store.transaction { try await RunHandler.apply(rejected, in: $0) }
            let reason = try await store.schedule(of: event.signalID)?.pause?.reason
            #expect(reason == "1 runs in a row failed by the code's fault; the last: rejected: row 3: no number")
        }
    }
}
