import Contracts
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// How reliably schedules ran, by day, and where their occurrences go.
@Suite("Cadence", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct CadenceTests {
    /// A past day on which everything that can happen did: every hour from its beginning.
    private static let day = CivilDate("2025-10-08")!
    private static let nextNoon = Timestamp(iso8601: "2025-10-09T12:00:00Z")!

    private static let outcomes = """
        fired,,recorded fired,,recorded fired,,late fired,, late,,recorded missed,downtime, skipped,overlap, skipped,no_bar, skipped,paused, failed,exception,
        """

    private func arm(_ store: PostgresSchedulerStore, _ cadence: Cadence = .interval(seconds: 3_600)) async throws -> Schedule {
        let event = Fixture.publication(cadence, at: Self.day.startUTC - .seconds(1))
        _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: event.publishedAt, in: $0) }
        return try #require(try await store.schedule(of: event.signalID))
    }

    private func occurrences(of schedule: Schedule) -> [Occurrence] {
        Self.outcomes.split(separator: " ").enumerated().map { index, text in
            let parts = text.trimmingPrefix("\n").split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            let due = Self.day.startUTC + .seconds(3_600 * index)
            let outcome = OccurrenceOutcome(rawValue: parts[0])!
            return Occurrence(
                id: .make(),
                scheduleID: schedule.id,
                signalID: schedule.signalID,
                accountID: schedule.accountID,
                dueAt: due,
                asOf: due,
                outcome: outcome,
                reason: parts[1].isEmpty ? nil : parts[1],
                jobID: outcome == .missed || outcome == .skipped ? nil : .make(),
                recordedAt: parts[2].isEmpty ? nil : due,
                madeAt: due,
                isRecordedLate: parts[2] == "late"
            )
        }
    }

    private func settle(_ store: PostgresSchedulerStore, at now: Timestamp = nextNoon) async throws {
        let cadence = CadenceStore(store: store)
        while try await cadence.settle(now: now) {}
    }

    private func said(_ store: PostgresSchedulerStore) async throws -> [(version: Int64, event: CadenceSettled)] {
        try await store.pool.query(
            "SELECT envelope FROM outbox WHERE type = 'scheduler.cadence.settled.v1' ORDER BY id"
        ).map { row in
            let envelope = try Envelope(decoding: try row.column(0, as: [UInt8].self))
            return (envelope.subjectVersion, try envelope.body(as: CadenceSettled.self))
        }
    }

    @Test func oneReplicaCountsAtATime() async throws {
        try await withPostgresStore { store, _ in
            let schedule = try await arm(store)
            let made = occurrences(of: schedule)
            _ = try await store.transaction { try await $0.add(made) }
            let cadence = CadenceStore(store: store)
            // Another one is at it, and may have counted before what changes now.
            try await store.pool.withTransaction { other in
                #expect(try await CadenceStore.takeTurn(on: other))
                while try await cadence.settle(now: Self.nextNoon) {}
                #expect(try await said(store).isEmpty)
            }
            try await settle(store)
            #expect(try await said(store).map(\.version) == [1])
        }
    }

    @Test func aDayIsCountedOnceItIsOverAndAgainWhenItChanges() async throws {
        try await withPostgresStore { store, _ in
            let schedule = try await arm(store)
            let made = occurrences(of: schedule)
            _ = try await store.transaction { try await $0.add(made) }
            // The day runs: counted from the occurrences, told to nobody.
            let cadence = CadenceStore(store: store)
            let running = try await cadence.days(of: schedule.id, from: Self.day, through: Self.day)
            #expect(running.map(\.version) == [0])
            try await settle(store, at: Self.day.startUTC + .seconds(86_400 + 60))
            #expect(try await said(store).isEmpty)
            try await settle(store)
            let days = try await cadence.days(of: schedule.id, from: Self.day, through: Self.day)
            let counts = try #require(days.first).counts
            #expect(counts.due == 10 && counts.onTime == 2 && counts.late == 2 && counts.missed == 1 && counts.failed == 1 && counts.unrecorded == 1)
            #expect(counts.skippedByReason == ["overlap": 1, "no_bar": 1, "paused": 1])
            // Of nine due times at which there was something to predict.
            #expect(counts.shareOnTime == 2.0 / 9.0)
            #expect(running[0].counts == counts)
            let first = try await said(store)
            #expect(first.map(\.version) == [1] && first[0].event.day == Self.day && first[0].event.onTime == 2 && first[0].event.due == 10)
            // Nothing new, nothing said.
            try await settle(store)
            #expect(try await said(store).count == 1)
            // The fourth is recorded after all.
            try await store.transaction { transaction in
                var late = try #require(try await transaction.lockedOccurrence(made[3].id))
                late.recordedAt = Self.nextNoon
                try await transaction.update(late)
            }
            #expect(try await AuditCommand.run(on: store, now: Self.nextNoon).filter { $0.name.contains("counts") }.allSatisfy(\.faults.isEmpty))
            try await settle(store)
            let second = try await said(store)
            #expect(second.map(\.version) == [1, 2] && second[1].event.onTime == 3 && second[1].event.unrecorded == 0)
            #expect(try await cadence.days(of: schedule.id, from: Self.day, through: Self.day).map(\.version) == [2])
        }
    }

    @Test func rangesOfManyDueTimesAreDividedAmongTheirDays() async throws {
        try await withPostgresStore { store, _ in
            let schedule = try await arm(store, .interval(seconds: 60))
            let first = Self.day.startUTC + .seconds(12 * 3_600)
            let range = Occurrence(
                id: .make(),
                scheduleID: schedule.id,
                signalID: schedule.signalID,
                accountID: schedule.accountID,
                dueAt: first,
                rangeTo: first + .seconds(86_400),
                count: 1_441,
                asOf: first,
                outcome: .missed,
                reason: "downtime",
                madeAt: first
            )
            _ = try await store.transaction { try await $0.add([range]) }
            try await settle(store, at: Self.nextNoon + .seconds(86_400))
            let days = try await CadenceStore(store: store).days(
                of: schedule.id,
                from: Self.day,
                through: CivilDate(daysSince1970: Self.day.daysSince1970 + 5)
            )
            #expect(days.map(\.counts.missed) == [720, 721] && days.map(\.version) == [1, 1])
        }
    }

    @Test func replicasThatSettleAtOnceSayEachDayOnce() async throws {
        try await withPostgresStore { store, _ in
            var schedules: [Schedule] = []
            for _ in 0..<5 { schedules.append(try await arm(store)) }
            let made = schedules.flatMap { occurrences(of: $0) }
            _ = try await store.transaction { try await $0.add(made) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<3 { group.addTask { try await self.settle(store) } }
                try await group.waitForAll()
            }
            try await settle(store)
            let events = try await said(store)
            #expect(events.count == 5 && Set(events.map(\.event.scheduleID)).count == 5 && events.allSatisfy { $0.version == 1 })
        }
    }

    @Test func theAuditNamesADayThatIsCountedWrong() async throws {
        try await withPostgresStore { store, _ in
            let schedule = try await arm(store)
            _ = try await store.transaction { [made = occurrences(of: schedule)] in try await $0.add(made) }
            try await settle(store)
            try await store.pool.execute("UPDATE cadence_days SET due = due + 1, missed = missed + 1")
            let found = try await AuditCommand.run(on: store, now: Self.nextNoon).filter { $0.name.contains("counts of a day") }
            #expect(found.first?.faults.first?.contains("counts 11 due times on 2025-10-08, 10 have an outcome") == true)
        }
    }

    @Test func whatCanChangeNoMoreGoesToTheArchiveAndIsStillRead() async throws {
        try await withPostgresStore { store, _ in
            let schedule = try await arm(store)
            let made = occurrences(of: schedule)
            _ = try await store.transaction { try await $0.add(made) }
            let archive = OccurrenceArchive(store: store)
            let later = Self.nextNoon + .seconds(10 * 86_400)
            // Not before its day has been counted.
            #expect(try await archive.move(now: later) == 0)
            try await settle(store)
            #expect(try await archive.move(now: Self.nextNoon) == 0)
            #expect(try await archive.move(now: later, limit: 4) == 4)
            #expect(try await archive.move(now: later) == 5)
            // A run that nobody recorded stays at hand.
            let hot = try await store.pool.query("SELECT occurrence_id FROM occurrences").map { try $0.column(0, as: OccurrenceID.self) }
            #expect(hot == [made[3].id])
            let parts = try await store.pool.query(
                "SELECT count(*) FROM occurrences_archive WHERE tableoid::regclass::text = 'occurrences_archive_2025_10'"
            ).first
            #expect(try parts?.column(0, as: Int.self) == 9)
            let read = try await store.occurrences(of: schedule.id, before: nil, limit: 200)
            #expect(read.reversed() == made)
            let counted = try await AuditCommand.run(on: store, now: later).filter { $0.name.contains("counts of a day") }
            #expect(counted.count == 1 && counted[0].faults.isEmpty)
            // What is told once more makes nothing twice, wherever the first lies.
            let again = occurrences(of: schedule)
            #expect(try await store.transaction { try await $0.add(again) }.isEmpty)
            // It is counted again from where it lies by now.
            try await store.pool.execute("UPDATE cadence_days SET is_stale = true, missed = 0, due = due - 1")
            try await settle(store, at: later)
            #expect(try await CadenceStore(store: store).days(of: schedule.id, from: Self.day, through: Self.day).first?.counts.due == 10)
        }
    }

    @Test func whatIsHotAndArchivedIsNamedAndNotMovedOnceMore() async throws {
        try await withPostgresStore { store, _ in
            let schedule = try await arm(store)
            let made = occurrences(of: schedule)
            _ = try await store.transaction { try await $0.add(made) }
            try await settle(store)
            let later = Self.nextNoon + .seconds(10 * 86_400)
            let archive = OccurrenceArchive(store: store)
            #expect(try await archive.move(now: later) == 9)
            let era = ScheduleEra(scheduleID: schedule.id, cadence: .interval(seconds: 3_600), from: Self.day.startUTC - .seconds(1), to: nil)
            func faults() async throws -> [String] {
                let end = made[9].dueAt
                return GridAudit.faults(
                    of: era,
                    from: era.from,
                    to: end,
                    occurrences: try await store.occurrences(of: schedule.id, after: era.from, through: end)
                )
            }
            #expect(try await faults().isEmpty)
            try await store.pool.execute(
                """
                INSERT INTO occurrences (\(unsafe: OccurrenceColumns.list))
                SELECT \(unsafe: OccurrenceColumns.list) FROM occurrences_archive WHERE due_at = \(made[0].dueAt)
                """
            )
            #expect(try await faults().contains { $0.contains("more than one occurrence") })
            try await settle(store)
            #expect(try await archive.move(now: later) == 0)
            #expect(try await store.pool.query("SELECT FROM occurrences WHERE due_at = \(made[0].dueAt)").count == 1)
        }
    }

    @Test func theLedgerIsReadByItsOwnerAndBySignals() async throws {
        try await withTestHouse { house in
            let schedule = try await arm(house.store)
            _ = try await house.store.transaction { [made = occurrences(of: schedule)] in try await $0.add(made) }
            try await settle(house.store)
            let path = "/api/schedules/\(schedule.id)/cadence?from=2025-10-01&to=2025-10-31"
            let answer = try await house.person().get(path).json()
            #expect(answer["total"]?["due"] == 10 && answer["total"]?["share_on_time"]?.double == 0.2222)
            #expect(answer["days"]?.array?.map { $0["day"]?.string } == ["2025-10-08"] && answer["days"]?.array?.first?["settled"] == true)
            #expect(try await house.person(.make()).get(path).verdict == "404 not_found id")
            let internalPath = "/internal/v1/signals/\(schedule.signalID)/cadence/days?from=2025-10-01&to=2025-10-31"
            #expect(try await house.service("signals").get(internalPath).json()["total"] == answer["total"])
            let wide = "/api/schedules/\(schedule.id)/cadence?from=2024-01-01&to=2025-10-31"
            #expect(try await house.person().get(wide).verdict == "400 invalid_range from")
        }
    }
}
