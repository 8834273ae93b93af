import Contracts
import Schedules
import Testing

@testable import scheduler

/// A day of an hourly schedule has twenty-four outcomes, one each, whatever happens on it.
struct HourlyDayTests {
    /// Midnight UTC, a whole hour.
    static let midnight = Timestamp(seconds: 1_772_323_200)  // 2026-03-01
    private static let day = 24 * 3_600

    /// One schedule on a clock that the test sets.
    private struct Day {
        let store: any SchedulerStore
        let maker: OccurrenceMaker
        let event: SignalPublished
        let schedule: ScheduleID
        let start: Timestamp

        init(
            _ store: any SchedulerStore,
            _ cadence: Cadence = .interval(seconds: 3_600),
            policy: SchedulePolicy = SchedulePolicy(),
            start: Timestamp = midnight
        )
            async throws
        {
            self.store = store
            self.start = start
            maker = OccurrenceMaker(store: store)
            // Half a second after the hour: the first due time is an hour later.
            event = Fixture.publication(cadence, at: start + .milliseconds(500), policy: policy)
            let published = event
            _ = try await store.transaction { try await ScheduleKeeper.publish(published, subjectVersion: 1, now: start + .seconds(1), in: $0) }
            schedule = try #require(try await store.schedule(of: event.signalID)).id
        }

        func at(_ seconds: Int) -> Timestamp { start + .seconds(seconds) }

        /// What a replica does at a moment, once it is due; its runs are over soon after.
        func look(at now: Timestamp) async throws {
            guard let due = try await store.earliestDueTime(), due <= now else { return }
            _ = try await maker.makeDue(at: now)
            try await run()
        }

        func run() async throws {
            let claimed = try await store.claim(Fixture.claim(100, class: .signal))
            if !claimed.isEmpty { _ = try await store.finish(claimed.map { try Fixture.finished($0) }) }
        }

        func occurrences() async throws -> [Occurrence] {
            try await store.occurrences(of: schedule, before: nil, limit: 5_000).reversed()
        }

        /// Each due time once, each run its job, nothing besides; and the audit agrees.
        func check(
            through seconds: Int = day,
            count: Int = 24,
            _ cadence: Cadence = .interval(seconds: 3_600),
            policy: SchedulePolicy = SchedulePolicy()
        )
            async throws
        {
            let found = try await occurrences()
            #expect(found.reduce(0) { $0 + $1.count } == count)
            #expect(Set(found.map(\.dueAt)).count == found.count)
            let runs = found.filter { $0.outcome == .fired || $0.outcome == .late }
            let jobs = try await store.jobs(JobFilter(accountID: Fixture.account, signalID: event.signalID, limit: 5_000))
            #expect(Set(jobs.compactMap(\.occurrenceID)) == Set(runs.map(\.id)) && jobs.count == runs.count)
            let era = ScheduleEra(scheduleID: schedule, cadence: cadence, policy: policy, from: start, to: nil)
            let faults = GridAudit.faults(of: era, from: start, to: at(seconds), occurrences: found)
            #expect(faults.isEmpty, "\(faults)")
        }
    }

    @Test(arguments: StoreKind.available) func undisturbed(kind: StoreKind) async throws {
        try await kind.with { store in
            let day = try await Day(store)
            for minute in 1...1_440 { try await day.look(at: day.at(minute * 60)) }
            try await day.check()
            #expect(try await day.occurrences().allSatisfy { $0.outcome == .fired })
        }
    }

    @Test(arguments: StoreKind.available) func severalReplicasAtOnce(kind: StoreKind) async throws {
        try await kind.with { store in
            let day = try await Day(store)
            for hour in 1...24 {
                try await withThrowingTaskGroup { group in
                    for replica in 0..<4 {
                        // Each with grids and clock of its own; the clocks are not quite the same.
                        group.addTask {
                            _ = try await OccurrenceMaker(store: store).makeDue(at: day.at(hour * 3_600) + .milliseconds(replica * 7))
                        }
                    }
                    try await group.waitForAll()
                }
                try await day.run()
            }
            try await day.check()
            #expect(try await day.occurrences().allSatisfy { $0.outcome == .fired })
        }
    }

    @Test(arguments: StoreKind.available, [OverlapRule.skip, .terminateOther, .cancelOther, .bufferAll])
    func killedBetweenAnyTwoStatements(kind: StoreKind, rule: OverlapRule) async throws {
        try await kind.with { store in
            let policy = SchedulePolicy(overlap: rule)
            let day = try await Day(store, policy: policy)
            var deaths = 0
            for hour in 1...24 {
                let now = day.at(hour * 3_600)
                var statements = 0
                while true {
                    let life = TornTransaction.Life(statements: statements)
                    do {
                        let made = try await store.transaction { try await day.maker.makeDue(at: now, in: TornTransaction(inner: $0, life: life)) }
                        #expect(made.schedules == 1)
                        break
                    } catch is TornTransaction.Death {
                        deaths += 1
                        statements += 1
                        #expect(try await day.occurrences().count == hour - 1)
                    }
                }
                // Every second run is still open when the next is due, where the rule has something to do then.
                if rule == .skip || hour.isMultiple(of: 2) { try await day.run() }
            }
            #expect(deaths >= 24 * 8)
            if rule == .skip {
                try await day.check()
            } else {
                let found = try await day.occurrences()
                #expect(found.count == 24 && found.allSatisfy { $0.jobID != nil })
            }
        }
    }

    @Test(arguments: StoreKind.available) func theClockJumps(kind: StoreKind) async throws {
        try await kind.with { store in
            let day = try await Day(store)
            for minute in 1...1_440 {
                try await day.look(at: day.at(minute * 60))
                // Five hours ahead and back again; then a quarter of a day back and on again.
                if minute == 6 * 60 + 30 { try await day.look(at: day.at(11 * 3_600 + 1_800)) }
                if minute == 18 * 60 + 5 { try await day.look(at: day.at(12 * 3_600)) }
            }
            try await day.check()
            let outcomes = try await day.occurrences().map(\.outcome)
            #expect(outcomes.filter { $0 == .missed }.count == 4 && outcomes[10] == .late && outcomes.filter { $0 == .fired }.count == 19)
        }
    }

    @Test(arguments: StoreKind.available) func aDayOfDowntime(kind: StoreKind) async throws {
        try await kind.with { store in
            let day = try await Day(store)
            try await day.look(at: day.at(Self.day + 600))
            try await day.check()
            let found = try await day.occurrences()
            #expect(found.count == 24 && found.map(\.outcome) == Array(repeating: OccurrenceOutcome.missed, count: 23) + [.late])
        }
    }

    @Test("Only more than a thousand lost due times share a row", arguments: StoreKind.available, [87, 10])
    func rangesOfADay(kind: StoreKind, seconds: Int) async throws {
        try await kind.with { store in
            let cadence = Cadence.interval(seconds: seconds)
            let day = try await Day(store, cadence)
            let due = try ScheduleGrid(cadence).count(after: day.start, through: day.at(Self.day))
            try await day.look(at: day.at(Self.day))
            try await day.check(count: due, cadence)
            let found = try await day.occurrences()
            #expect(found.filter { $0.rangeTo != nil }.count == (seconds == 10 ? 1 : 0) && found.count == (seconds == 10 ? 3 : 993))
            // Who hears of them can count them.
            guard let memory = store as? InMemorySchedulerStore else { return }
            let told = memory.said.compactMap { $0.body as? OccurrenceSettled }
            #expect(
                told.reduce(0) { $0 + ($1.dueCount ?? 1) } == due
                    && told.map(\.rangeTo).filter { $0 != nil } == found.map(\.rangeTo).filter { $0 != nil }
            )
        }
    }

    @Test(arguments: StoreKind.available) func editedInTheMiddle(kind: StoreKind) async throws {
        try await kind.with { store in
            let day = try await Day(store)
            let edited = Fixture.publication(.interval(seconds: 1_800), signal: day.event.signalID, at: day.at(12 * 3_600 + 600))
            for minute in 1...1_440 {
                // Heard an hour and a half late: what has its outcome keeps it, and the new grid begins behind it.
                if minute == 13 * 60 + 40 {
                    _ = try await store.transaction { try await ScheduleKeeper.publish(edited, subjectVersion: 2, now: day.at(minute * 60), in: $0) }
                }
                try await day.look(at: day.at(minute * 60))
            }
            let found = try await day.occurrences()
            // Thirteen of the hourly one, and every half hour from 13:30 to 24:00; the first of these was due before it was heard of.
            #expect(found.count == 13 + 22 && found.filter { $0.outcome != .fired }.map(\.dueAt) == [day.at(13 * 3_600 + 1_800)])
            let jobs = try await store.jobs(JobFilter(accountID: Fixture.account, signalID: day.event.signalID, limit: 100))
            for job in jobs {
                let spec = try WireJSON.decode(SignalRunSpec.self, from: job.spec)
                #expect(spec.versionID == (spec.dueAt <= day.at(13 * 3_600) ? day.event.versionID : edited.versionID))
            }
        }
    }

    @Test(arguments: StoreKind.available) func pausedInTheMiddle(kind: StoreKind) async throws {
        try await kind.with { store in
            let day = try await Day(store)
            for minute in 1...1_440 {
                let now = day.at(minute * 60)
                if minute == 10 * 60 + 20 || minute == 14 * 60 + 40 {
                    try await store.transaction { transaction in
                        let schedule = try #require(try await transaction.lockedSchedule(day.schedule))
                        if schedule.pause == nil {
                            _ = try await PauseKeeper.pause(schedule, by: .owner, reason: nil, now: now, in: transaction)
                        } else {
                            _ = try await PauseKeeper.resume(schedule, by: .owner, now: now, in: transaction)
                        }
                    }
                }
                try await day.look(at: now)
            }
            try await day.check()
            let found = try await day.occurrences()
            #expect(found.filter { $0.outcome == .skipped && $0.reason == "paused" }.map(\.dueAt) == (11...14).map { day.at($0 * 3_600) })
            #expect(found.filter { $0.outcome == .fired }.count == 20)
        }
    }

    @Test("An edit is in force at the next tick", arguments: StoreKind.available) func editedJustBefore(kind: StoreKind) async throws {
        try await kind.with { store in
            let day = try await Day(store)
            let due = day.at(3_600)
            let edited = Fixture.publication(.interval(seconds: 3_600), signal: day.event.signalID, at: due - .milliseconds(1))
            _ = try await store.transaction { try await ScheduleKeeper.publish(edited, subjectVersion: 2, now: due - .milliseconds(1), in: $0) }
            try await day.look(at: due)
            let job = try #require(try await store.jobs(JobFilter(accountID: Fixture.account, signalID: day.event.signalID, limit: 10)).first)
            #expect(try WireJSON.decode(SignalRunSpec.self, from: job.spec).versionID == edited.versionID)
            #expect(try await day.occurrences().count == 1)
        }
    }

    /// The four days of the rules, in both directions and both countries: the day on which the clocks change, the hours of an hourly schedule on it,
    /// and when a fixed time is due, if it is not the usual one.
    static let changes: [(zone: String, date: String, hours: Int, fixed: String)] = [
        ("Europe/Berlin", "2026-03-28T23:00:00Z", 23, "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-24T22:00:00Z", 25, "2026-10-25T00:30:00Z"),
        ("America/New_York", "2026-03-08T05:00:00Z", 23, "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T04:00:00Z", 25, "2026-11-01T07:30:00Z"),
    ]

    @Test(arguments: StoreKind.available, changes.indices) func theClocksChange(kind: StoreKind, index: Int) async throws {
        let change = Self.changes[index]
        let start = try #require(Timestamp(iso8601: change.date))
        for (expression, count) in [("0 * * * *", change.hours), ("30 2 * * *", 1)] {
            try await kind.with { store in
                let cadence = Cadence.cron(expression: expression, zone: change.zone)
                // From local midnight on.
                let day = try await Day(store, cadence, start: start)
                for minute in 1...(change.hours * 60) { try await day.look(at: day.at(minute * 60)) }
                try await day.check(through: change.hours * 3_600, count: count, cadence)
                let found = try await day.occurrences()
                #expect(found.allSatisfy { $0.outcome == .fired })
                if count == 1 { #expect(found.first?.dueAt == Timestamp(iso8601: change.fixed)) }
            }
        }
    }
}
