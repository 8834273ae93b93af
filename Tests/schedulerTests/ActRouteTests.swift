import Contracts
import Cryptography
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// What owners do with their schedules, through the doors.
@Suite("Acts", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct ActRouteTests {
    /// A live schedule of the fixture's account.
    private func arm(
        _ house: TestHouse,
        _ cadence: Cadence = .interval(seconds: 3_600),
        at time: Timestamp = .now()
    ) async throws -> (schedule: Schedule, event: SignalPublished) {
        let event = Fixture.publication(cadence, at: time)
        _ = try await house.store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: time, in: $0) }
        return (try #require(try await house.store.schedule(of: event.signalID)), event)
    }

    private func takeDown(_ house: TestHouse, _ event: SignalPublished) async throws {
        let end = SignalUnpublished(signalID: event.signalID, accountID: event.accountID, reason: "test")
        _ = try await house.store.transaction { try await ScheduleKeeper.unpublish(end, subjectVersion: 9, at: .now(), now: .now(), in: $0) }
    }

    @Test func ownersPauseAndResumeAndStrangersSeeNothing() async throws {
        try await withTestHouse { house in
            let (schedule, event) = try await arm(house)
            let path = "/api/schedules/\(schedule.id)"
            let owner = try house.person()
            let stranger = try house.person(.make())
            for act in ["pause", "resume", "run"] { #expect(try await stranger.send(.post, "\(path)/\(act)").verdict == "404 not_found id") }
            #expect(try await stranger.get(path).verdict == "404 not_found id")
            let paused = try await owner.post("\(path)/pause", json: ["reason": "holidays"]).json()
            #expect(paused["state"] == "paused" && paused["paused_by"] == "owner" && paused["pause_reason"] == "holidays")
            #expect(paused["next_due_at"] == nil)
            #expect(try await owner.send(.post, "\(path)/pause").json()["pause_reason"] == "holidays")
            #expect(try await owner.get("/api/schedules").json()["items"]?.array?.first?["state"] == "paused")
            #expect(try await house.service("signals").get("/internal/v1/signals/\(event.signalID)/cadence").json()["signal_state"] == "paused")
            let resumed = try await owner.send(.post, "\(path)/resume").json()
            #expect(resumed["state"] == "active" && resumed["paused_at"] == nil && resumed["next_due_at"]?.string == schedule.nextDueAt?.iso8601)
            let administrator = try house.person(.make(), roles: ["admin"])
            #expect(try await administrator.send(.post, "\(path)/pause").json()["paused_by"] == "administrator")
            #expect(try await owner.send(.post, "\(path)/resume").verdict == "403 paused_by_administrator")
            #expect(try await owner.send(.post, "\(path)/pause").json()["paused_by"] == "administrator")
            let said = try await house.pool.query("SELECT count(*) FROM outbox WHERE type = 'scheduler.schedule.changed.v1'").first
            #expect(try said?.column(0, as: Int.self) == 3)
            try await takeDown(house, event)
            for act in ["pause", "resume", "run"] { #expect(try await owner.send(.post, "\(path)/\(act)").verdict == "409 not_live id") }
        }
    }

    @Test func reasonsHaveBounds() async throws {
        try await withTestHouse { house in
            let (schedule, _) = try await arm(house)
            let owner = try house.person()
            let path = "/api/schedules/\(schedule.id)/pause"
            // Counted as the database counts: a letter with its accents is several.
            let accented = String(repeating: "e\u{301}\u{302}", count: 400)
            #expect(try await house.person().post(path, json: ["reason": accented]).verdict == "400 invalid_value reason")
            #expect(try await owner.post(path, json: ["reason": String(repeating: "x", count: 501)]).verdict == "400 invalid_value reason")
            #expect(try await owner.post(path, json: ["why": "x"]).status == 400)
            #expect(try await owner.post("/api/schedules/\(schedule.id)/resume", json: ["reason": "x"]).status == 400)
        }
    }

    @Test func aRunByHandIsADryRunAndNoneOfTheGrid() async throws {
        try await withTestHouse { house in
            let (schedule, event) = try await arm(house)
            let owner = try house.person()
            let path = "/api/schedules/\(schedule.id)/run"
            let first = try await owner.with(header: "Idempotency-Key", "k").send(.post, path)
            #expect(first.status == 202, "\(first.text)")
            let jobID = try #require(try first.json()["job_id"]?.string)
            // The same wish again, and another one while it has not ended.
            let again = try await owner.with(header: "Idempotency-Key", "k").send(.post, path)
            #expect(try again.status == 200 && again.json()["job_id"]?.string == jobID)
            #expect(try await owner.send(.post, path).verdict == "429 run_under_way")
            let made = try #require(JobID(jobID))
            let job = try #require(try await house.store.job(made))
            #expect(job.kind == .dryRun && job.accountID == event.accountID && job.occurrenceID == nil && job.scheduleID == nil)
            #expect(job.spec["version_id"]?.string == event.versionID.description && job.spec["occurrence_id"] == nil)
            #expect(try await owner.get("/api/jobs/\(jobID)").status == 200)
            // The grid knows nothing of it: what is due next runs although the run by hand is open.
            let due = try #require(schedule.nextDueAt)
            #expect(try await OccurrenceMaker(store: house.store).makeDue(at: due).jobs == 1)
            let occurrences = try await house.store.occurrences(of: schedule.id, before: nil, limit: 10)
            #expect(occurrences.count == 1 && occurrences[0].dueAt == due)
            _ = try await house.store.cancel(job.id)
            #expect(try await owner.send(.post, path).status == 202)
            #expect(try await owner.with(header: "Idempotency-Key", "ä").send(.post, path).verdict == "400 invalid_value Idempotency-Key")
        }
    }

    @Test func aPreviewTellsTenDueTimesWithTheClocksOfTheZone() async throws {
        try await withTestHouse { house in
            let owner = try house.person()
            let unsaved: JSONValue = ["schedule": ["kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Berlin"]]
            let preview = try await owner.post("/api/schedules/preview", json: unsaved).json()
            let lines = try #require(preview["next_due_times"]?.array)
            #expect(
                lines.count == 10 && lines.allSatisfy { $0["zone"] == "Europe/Berlin" && $0["local_time"]?.string?.contains("T02:30:00+0") == true }
            )
            let (schedule, _) = try await arm(house)
            let own = try await owner.get("/api/schedules/\(schedule.id)/preview").json()
            #expect(own["next_due_times"]?.array?.first?["due_at"]?.string == schedule.nextDueAt?.iso8601)
            let bars: JSONValue = ["schedule": ["kind": "bar_close", "instrument": "SPY", "interval": "1m"]]
            let ofBars = try await owner.post("/api/schedules/preview", json: bars).json()
            #expect(ofBars["next_due_times"] == [] && ofBars["note"]?.string?.contains("SPY") == true)
            let never: JSONValue = ["schedule": ["kind": "cron", "expression": "61 * * * *", "zone": "UTC"]]
            #expect(try await owner.post("/api/schedules/preview", json: never).verdict == "422 invalid_schedule schedule")
        }
    }

    @Test func previewsKnowWhatClocksDo() throws {
        let march = try SchedulePreview(
            .cron(expression: "30 2 * * *", zone: "Europe/Berlin"),
            policy: SchedulePolicy(),
            after: try #require(Timestamp(iso8601: "2026-03-28T12:00:00Z"))
        )
        #expect(march.nextDueTimes[0].localTime == "2026-03-29T03:00:00+02:00" && march.nextDueTimes[0].note?.contains("does not exist") == true)
        #expect(march.nextDueTimes[1].note == nil)
        let october = try SchedulePreview(
            .cron(expression: "30 2 * * *", zone: "Europe/Berlin"),
            policy: SchedulePolicy(),
            after: try #require(Timestamp(iso8601: "2026-10-24T12:00:00Z"))
        )
        #expect(october.nextDueTimes[0].localTime == "2026-10-25T02:30:00+02:00" && october.nextDueTimes[0].note?.contains("the first time") == true)
        let noon = try SchedulePreview(
            .cron(expression: "0 12 * * *", zone: "America/New_York"),
            policy: SchedulePolicy(endAt: Timestamp(iso8601: "2026-11-02T00:00:00Z")),
            after: try #require(Timestamp(iso8601: "2026-10-31T12:00:00Z"))
        )
        #expect(noon.nextDueTimes.map(\.note) == [nil, "clocks go back by 60 minutes on this day"] && noon.note?.contains("ends") == true)
    }

    // MARK: Backfills

    private func round(_ house: TestHouse, at now: Timestamp = .now()) async throws {
        let keeper = BackfillKeeper(store: BackfillStore(store: house.store), time: SystemTimeSource(), loop: TestLoop.shared) { _ in }
        _ = try await keeper.round()
    }

    private func finishOpen(_ house: TestHouse, _ failure: FailureKind? = nil) async throws -> [Job] {
        let jobs = try await house.store.claim(Fixture.claim(20))
        for job in jobs { _ = try await house.store.finish([try Fixture.finished(job, failure == nil ? .completed : .failed, failure: failure)]) }
        return jobs
    }

    @Test func aBackfillRunsThePastOneAfterTheOther() async throws {
        try await withTestHouse { house in
            let (schedule, event) = try await arm(house)
            let owner = try house.person()
            let path = "/api/schedules/\(schedule.id)/backfills"
            let wanted: JSONValue = ["from": "2016-10-08T00:00:00Z", "to": "2016-10-08T02:30:00Z"]
            let made = try await owner.with(header: "Idempotency-Key", "k").post(path, json: wanted)
            #expect(made.status == 202, "\(made.text)")
            let answer = try made.json()
            #expect(answer["due_count"] == 3 && answer["state"] == "open" && answer["to"]?.string == "2016-10-08T02:00:00.000000Z")
            let id = try #require(answer["backfill_id"]?.string)
            let again = try await owner.with(header: "Idempotency-Key", "k").post(path, json: wanted)
            #expect(try again.status == 200 && again.json()["backfill_id"]?.string == id)
            let other: JSONValue = ["from": "2016-10-08T00:00:00Z", "to": "2016-10-08T01:30:00Z"]
            #expect(
                try await owner.with(header: "Idempotency-Key", "k").post(path, json: other).verdict == "422 idempotency_key_reused Idempotency-Key"
            )
            #expect(try await owner.post(path, json: other).verdict == "409 backfill_under_way id")
            #expect(try await house.person(.make()).get("\(path)/\(id)").verdict == "404 not_found id")
            var asOf: [String] = []
            for index in 0..<3 {
                try await round(house)
                try await round(house)
                let jobs = try await finishOpen(house, index == 1 ? .exception : nil)
                #expect(jobs.count == 1 && jobs[0].kind == .backfillRun && jobs[0].priority == .low && jobs[0].resourceClass == .small)
                #expect(jobs[0].spec["feed"] == "backfill" && jobs[0].occurrenceID == nil && jobs[0].scheduleID == nil)
                asOf += jobs.compactMap { $0.spec["as_of"]?.string }
            }
            #expect(asOf == ["00", "01", "02"].map { "2016-10-08T\($0):00:00.000000Z" })
            try await round(house)
            let ended = try await owner.get("\(path)/\(id)").json()
            #expect(ended["state"] == "completed" && ended["completed"] == 2 && ended["failed"] == 1 && ended["progress"] == 100)
            let runs = try #require(try await owner.get("\(path)/\(id)/runs").json()["items"]?.array)
            #expect(runs.map { $0["state"]?.string } == ["completed", "failed", "completed"])
            // Neither the grid nor the count of failures knows of it.
            #expect(try await house.store.occurrences(of: schedule.id, before: nil, limit: 10).isEmpty)
            #expect(try await house.store.schedule(schedule.id)?.failuresInARow == 0)
            #expect(try await owner.get(path).json()["items"]?.array?.count == 1)
            _ = event
        }
    }

    @Test func aBackfillNeverFloodsTheLedger() async throws {
        try await withTestHouse { house in
            let (schedule, _) = try await arm(house, .interval(seconds: 60))
            let owner = try house.person()
            let wanted: JSONValue = ["from": "2016-10-08T00:00:00Z", "to": "2016-10-12T00:00:00Z", "overlap": "allow_all"]
            let answer = try await owner.post("/api/schedules/\(schedule.id)/backfills", json: wanted)
            #expect(try answer.json()["due_count"] == 5_761)
            for _ in 0..<3 { try await round(house) }
            let open = try await house.pool.query("SELECT count(*) FROM jobs WHERE state = 'pending'").first
            #expect(try open?.column(0, as: Int.self) == 8)
        }
    }

    @Test func aCancelledBackfillEndsItsRuns() async throws {
        try await withTestHouse { house in
            let (schedule, _) = try await arm(house)
            let owner = try house.person()
            let path = "/api/schedules/\(schedule.id)/backfills"
            let wanted: JSONValue = ["from": "2016-10-08T00:00:00Z", "to": "2016-10-09T00:00:00Z"]
            let id = try #require(try await owner.post(path, json: wanted).json()["backfill_id"]?.string)
            try await round(house)
            #expect(try await owner.delete("\(path)/\(id)").status == 202)
            #expect(try await owner.delete("\(path)/\(id)").status == 202)
            for _ in 0..<2 { try await round(house) }
            let ended = try await owner.get("\(path)/\(id)").json()
            #expect(ended["state"] == "cancelled" && ended["cancelled"] == 1)
            #expect(try await house.store.claim(Fixture.claim()).isEmpty)
            #expect(try await owner.post(path, json: wanted).status == 202)
        }
    }

    @Test func cancellingAgainEndsTheRunsThatWereLeft() async throws {
        try await withTestHouse { house in
            let (schedule, _) = try await arm(house)
            let owner = try house.person()
            let path = "/api/schedules/\(schedule.id)/backfills"
            let wanted: JSONValue = ["from": "2016-10-08T00:00:00Z", "to": "2016-10-09T00:00:00Z", "overlap": "allow_all"]
            let text = try #require(try await owner.post(path, json: wanted).json()["backfill_id"]?.string)
            let id = try #require(BackfillID(text))
            try await round(house)
            // A replica stops between the backfill and its runs.
            #expect(try await BackfillStore(store: house.store).cancel(id, now: .now()).count == 8)
            #expect(try await owner.delete("\(path)/\(id)").status == 202)
            for _ in 0..<2 { try await round(house) }
            #expect(try await owner.get("\(path)/\(id)").json()["cancelled"] == 8)
        }
    }

    @Test func oneBackfillThatCannotGoOnStopsNoOther() async throws {
        try await withTestHouse { house in
            let owner = try house.person()
            let wanted: JSONValue = ["from": "2016-10-08T00:00:00Z", "to": "2016-10-09T00:00:00Z"]
            var ids: [String] = []
            for _ in 0..<3 {
                let (schedule, _) = try await arm(house)
                let answer = try await owner.post("/api/schedules/\(schedule.id)/backfills", json: wanted).json()
                ids.append(try #require(answer["backfill_id"]?.string))
            }
            // The one that is looked at first.
            let broken = try #require(BackfillID(ids.min() ?? ""))
            try await house.pool.execute("UPDATE backfills SET publication = '{}' WHERE backfill_id = \(broken)")
            try await round(house)
            let runs = try await house.pool.query("SELECT count(DISTINCT backfill_id) FROM backfill_runs WHERE backfill_id <> \(broken)").first
            #expect(try runs?.column(0, as: Int.self) == 2)
        }
    }

    /// A round looks at so many, and the next one at those behind them: none waits for the end of another account's.
    @Test func backfillsAreLookedAtInTurn() async throws {
        try await withTestHouse { house in
            let owner = try house.person()
            let wanted: JSONValue = ["from": "2016-10-08T00:00:00Z", "to": "2016-10-09T00:00:00Z"]
            for _ in 0..<3 {
                let (schedule, _) = try await arm(house)
                #expect(try await owner.post("/api/schedules/\(schedule.id)/backfills", json: wanted).status == 202)
            }
            let store = BackfillStore(store: house.store)
            let keeper = BackfillKeeper(store: store, time: SystemTimeSource(), loop: TestLoop.shared, batch: 2) { _ in }
            func begun() async throws -> Int {
                try await house.pool.query("SELECT count(DISTINCT backfill_id) FROM backfill_runs").first?.column(0) ?? 0
            }
            #expect(try await keeper.round())
            #expect(try await begun() == 2)
            #expect(try await keeper.round())
            #expect(try await begun() == 3)
            // And from the first one on again.
            _ = try await finishOpen(house)
            for _ in 0..<2 { #expect(try await keeper.round()) }
            let runs = try await house.pool.query("SELECT count(*) FROM backfill_runs").first
            #expect(try runs?.column(0, as: Int.self) == 6)
        }
    }

    @Test func whatCannotBeFilledInIsRefused() async throws {
        try await withTestHouse { house in
            let (schedule, event) = try await arm(house, .interval(seconds: 1))
            let owner = try house.person()
            func verdict(_ from: String, _ to: String, _ id: ScheduleID) async throws -> String {
                let wanted: JSONValue = ["from": .string(from), "to": .string(to)]
                return try await owner.post("/api/schedules/\(id)/backfills", json: wanted).verdict
            }
            #expect(try await verdict("2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z", schedule.id) == "422 too_many_due_times to")
            #expect(try await verdict("2016-10-09T00:00:00Z", "2016-10-08T00:00:00Z", schedule.id) == "400 invalid_range from")
            #expect(try await verdict("2016-10-08T00:00:00Z", "2999-10-08T00:00:00Z", schedule.id) == "422 not_past to")
            #expect(try await verdict("0001-01-01T00:00:00Z", "2016-10-08T00:00:00Z", schedule.id) == "422 too_many_due_times to")
            #expect(try await verdict("0001-01-01T00:00:00Z", "1960-10-08T00:00:00Z", schedule.id) == "422 nothing_due from")
            #expect(try await verdict("2016-10-08T00:00:00.1Z", "2016-10-08T00:00:00.2Z", schedule.id) == "422 nothing_due from")
            try await takeDown(house, event)
            #expect(try await verdict("2016-10-08T00:00:00Z", "2016-10-08T00:00:10Z", schedule.id) == "409 not_live id")
        }
    }
}
