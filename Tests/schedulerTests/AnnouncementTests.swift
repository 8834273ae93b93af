import Contracts
import Cryptography
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// What executors hear of before it is due.
@Suite("Announcements", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct AnnouncementTests {
    private func publish(_ event: SignalPublished, _ store: PostgresSchedulerStore) async throws {
        _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: event.publishedAt, in: $0) }
    }

    private func ask(_ house: TestHouse, horizon: Int = 20) async throws -> [Announcement] {
        let answer = try await house.service("executor").post(
            "/internal/v1/announcements",
            json: AnnouncementsRequest(worker: "w", horizonSeconds: horizon)
        )
        #expect(answer.status == 200, "\(answer.text)")
        return try (answer.decode() as AnnouncementsAnswer).announcements
    }

    @Test func whatIsDueSoonIsToldAndNothingElse() async throws {
        try await withTestHouse { house in
            let now = Timestamp.now()
            let soon = Fixture.publication(.interval(seconds: 1), at: now)
            let minutely = Fixture.publication(.interval(seconds: 7_200), at: now)
            let gone = Fixture.publication(.interval(seconds: 1), at: now)
            for event in [soon, minutely, gone] { try await publish(event, house.store) }
            let due = try #require(try await house.store.schedule(of: soon.signalID)?.nextDueAt)
            let far = now + .seconds(3_600)
            try await house.pool.execute("UPDATE schedules SET next_due_at = \(far) WHERE signal_id = \(minutely.signalID)")
            let end = SignalUnpublished(signalID: gone.signalID, accountID: gone.accountID, reason: "test")
            _ = try await house.store.transaction { try await ScheduleKeeper.unpublish(end, subjectVersion: 2, at: now, now: now, in: $0) }
            let told = try await ask(house)
            #expect(told.map(\.signalID) == [soon.signalID] && told[0].dueAt == due && told[0].accountID == soon.accountID)
            #expect(told[0].versionID == soon.versionID && told[0].files == soon.files && told[0].manifest == soon.manifest)
            try await house.pool.execute(
                "UPDATE schedules SET paused_at = now(), paused_by = 'owner' WHERE signal_id = \(soon.signalID)"
            )
            #expect(try await ask(house).isEmpty)
        }
    }

    /// One whose grid no replica can read, say.
    @Test func whatHasLongBeenOverdueIsNotToldForEver() async throws {
        try await withTestHouse { house in
            let event = Fixture.publication(.interval(seconds: 3_600), at: .now())
            try await publish(event, house.store)
            for (overdue, count) in [(5, 1), (120, 0)] {
                let now = Timestamp.now()
                try await house.pool.execute(
                    "UPDATE schedules SET next_due_at = \(now - .seconds(overdue)), cursor_at = \(now - .seconds(300))"
                )
                #expect(try await ask(house).count == count)
            }
        }
    }

    @Test func theEarliestComeFirstAndNoMoreThanAreAskedFor() async throws {
        try await withTestHouse { house in
            let now = Timestamp.now()
            for offset in [5, 3, 9, 1, 7] {
                let event = Fixture.publication(.interval(seconds: 3_600), at: now)
                try await publish(event, house.store)
                try await house.pool.execute(
                    "UPDATE schedules SET next_due_at = \(now + .seconds(offset)) WHERE signal_id = \(event.signalID)"
                )
            }
            let told = try await ask(house)
            #expect(told.map { $0.dueAt } == [1, 3, 5, 7, 9].map { now + .seconds($0) })
            let desk = AnnouncementDesk(reader: AnnouncementReader(pool: house.pool), signingKey: house.signingKey, time: SystemTimeSource())
            let few = try await desk.announcements(horizonSeconds: 20, limit: 2)
            #expect(few.map(\.dueAt) == [1, 3].map { now + .seconds($0) })
            // The same token is told again: nothing is signed anew for who asks every few seconds.
            let again = try await desk.announcements(horizonSeconds: 20, limit: 2)
            #expect(again.map(\.token) == few.map(\.token))
        }
    }

    @Test func theTokenNamesTheFilesAndNoBars() async throws {
        try await withTestHouse { house in
            let now = Timestamp.now()
            let event = Fixture.publication(.interval(seconds: 1), at: now)
            try await publish(event, house.store)
            let token = try #require(try await ask(house).first).token
            let keys = try ServiceKeys(JWKSet(keys: [house.signingKey.verifyingKey.jwk(service: "scheduler")]))
            let claims = try JobTokenVerifier(keys: keys).verify(token)
            #expect(claims.kind == "announcement" && claims.instruments.isEmpty && claims.files == event.files.map(\.sha256))
            #expect(claims.asOf == Timestamp(seconds: 0) && claims.signalID == event.signalID && claims.expiresAt <= now.seconds + 300)
        }
    }

    @Test func theEndOfTheRunningBarIsAnnounced() async throws {
        try await withTestHouse { house in
            let event = Fixture.publication(.barClose(instrument: "BTCUSD", interval: "5s"), at: .now())
            let daily = Fixture.publication(.barClose(instrument: "SPY", interval: "1w"), at: .now())
            try await publish(event, house.store)
            try await publish(daily, house.store)
            let told = try await ask(house)
            #expect(told.map(\.signalID) == [event.signalID])
            #expect(told[0].dueAt.seconds % 5 == 0)
        }
        #expect(AnnouncementReader.end(ofBarRunningAt: Timestamp(seconds: 1_000), seconds: 15) == Timestamp(seconds: 1_005))
        #expect(AnnouncementReader.end(ofBarRunningAt: Timestamp(seconds: 1_005), seconds: 15) == Timestamp(seconds: 1_020))
    }

    @Test func aHorizonOutOfBoundsIsRefused() async throws {
        try await withTestHouse { house in
            let executor = try house.service("executor")
            for horizon in [0, -1, 61] {
                let answer = try await executor.post("/internal/v1/announcements", json: AnnouncementsRequest(worker: "w", horizonSeconds: horizon))
                #expect(answer.verdict == "400 invalid_value horizon_seconds")
            }
            let nameless = try await executor.post("/internal/v1/announcements", json: AnnouncementsRequest(worker: "", horizonSeconds: 10))
            #expect(nameless.verdict == "400 invalid_value worker")
        }
    }
}
