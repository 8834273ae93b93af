import BlobStore
import Contracts
import Cryptography
import Foundation
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// What jobs print, from the renewal that brings it to those who read it.
@Suite(.enabled(if: TestServers.hasPostgres), .serialized) struct LogTests {
    /// A job that was claimed.
    private func running(_ house: TestHouse, _ key: String = "run", account: AccountID = Fixture.account, kind: JobKind = .dryRun) async throws -> Job
    {
        _ = try await house.store.insert([Fixture.job(key, account: account, kind: kind)])
        return try #require(try await house.store.claim(Fixture.claim(1)).first)
    }

    private func renew(_ house: TestHouse, _ job: Job, _ offset: Int64, _ text: String, attempt: AttemptID? = nil) async throws {
        let attempt = try #require(attempt ?? job.attemptID)
        let body = RenewRequest(
            worker: "worker",
            leases: [LeaseRenewal(jobID: job.id, attemptID: attempt, log: LogChunk(offset: offset, text: text))]
        )
        let answer = try await house.service("executor").post("/internal/v1/jobs/renew", json: body)
        #expect(answer.status == 200, "\(answer.text)")
    }

    private func finish(_ house: TestHouse, _ finished: FinishedJob) async throws {
        let body = FinishRequest(worker: "worker", finished: [finished])
        let answer = try await house.service("executor").post("/internal/v1/jobs/finish", json: body)
        #expect(answer.status == 200, "\(answer.text)")
    }

    private func log(_ house: TestHouse, _ job: Job, _ query: String = "") async throws -> JSONValue {
        try await house.person().get("/api/jobs/\(job.id)/logs\(query)").json()
    }

    @Test("A running job's log is read while it runs; what comes twice is there once, what a stale attempt says not at all")
    func liveLogs() async throws {
        try await withTestHouse { house in
            let job = try await running(house)
            #expect(try await log(house, job)["log"] == "")
            try await renew(house, job, 0, "one\n")
            try await renew(house, job, 0, "one\n")
            try await renew(house, job, 4, "two\u{241B}[31m\n")
            try await renew(house, job, 0, "stale", attempt: .make())
            let live = try await log(house, job)
            #expect(live["log"] == "one\ntwo\u{241B}[31m\n" && live["final"] == false && live["truncated"] == false && live["attempt"] == 1)
            try await finish(house, try Fixture.finished(job, log: "one\ntwo\u{241B}[31m\nthree\n"))
            let final = try await log(house, job)
            #expect(final["log"] == "one\ntwo\u{241B}[31m\nthree\n" && final["final"] == true)
            #expect(try await house.person(.make()).get("/api/jobs/\(job.id)/logs").status == 404)
        }
    }

    @Test("A flood keeps its beginning and its end, with a marker between, while it runs and when it has ended")
    func floods() async throws {
        try await withTestHouse { house in
            let job = try await running(house)
            let piece = String(repeating: "x", count: LogChunk.maximumBytes)
            for index in 0..<3 { try await renew(house, job, Int64(index * LogChunk.maximumBytes), piece) }
            for index in 10..<20 { try await renew(house, job, Int64(index * LogChunk.maximumBytes), piece) }
            try await renew(house, job, Int64(20 * LogChunk.maximumBytes), "the end")
            let stored: Int64 = try #require(
                try await house.pool.query("SELECT sum(octet_length(body))::bigint FROM log_chunks").first?.column(0)
            )
            #expect(stored <= Int64(FinishedJob.maximumLogBytes + LogChunk.maximumBytes + 7), "only the newest is kept behind the beginning")
            let text = try #require(try await log(house, job)["log"]?.string)
            #expect(text.utf8.count <= FinishedJob.maximumLogBytes && text.hasSuffix("xthe end") && text.contains("bytes left out"))
            #expect(text.hasPrefix(String(repeating: "x", count: LogChunk.headBytes) + "\n[… "))
            #expect(try await log(house, job)["truncated"] == true)
        }
    }

    @Test("An attempt that was lost keeps what it had printed; the next one's log stands beside it")
    func attemptsAreToldApart() async throws {
        try await withTestHouse { house in
            let first = try await running(house)
            try await renew(house, first, 0, "first try\n")
            try await house.pool.execute("UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'")
            #expect(try await house.store.expireLeases(limit: 10) == 1)
            try await house.pool.execute("UPDATE jobs SET available_at = clock_timestamp()")
            let second = try #require(try await house.store.claim(Fixture.claim(1)).first)
            #expect(second.attempt == 2)
            try await renew(house, second, 0, "second try\n")
            try await renew(house, first, 10, "late word\n", attempt: first.attemptID)
            #expect(try await log(house, second)["log"] == "second try\n")
            #expect(try await log(house, second)["attempts"] == [1, 2])
            try await finish(house, try Fixture.finished(second, log: "second try\nits end\n"))
            #expect(try await log(house, second)["log"] == "second try\nits end\n")
            let kept = try await log(house, second, "?attempt=1")
            #expect(kept["log"] == "first try\n" && kept["final"] == false)
            #expect(try await house.person().get("/api/jobs/\(second.id)/logs?attempt=3").verdict == "404 not_found attempt")
        }
    }

    private func withStreams(_ body: (TestHouse, _ port: Int, _ headers: [(String, String)]) async throws -> Void) async throws {
        try await withTestHouse { house in
            let token = try house.credentials.token(account: Fixture.account, roles: ["provider"])
            let server = HTTPServer(
                name: "replica",
                address: "127.0.0.1",
                port: 0,
                router: house.publicRouter,
                loops: [TestLoop.shared],
                limits: HTTPLimits(accessLog: false)
            )
            try await house.logNews.start()
            try await server.start()
            do { try await body(house, server.boundPort, [("Authorization", "Bearer \(token)")]) } catch {
                await server.stop()
                await house.logNews.stop()
                throw error
            }
            await server.stop()
            await house.logNews.stop()
        }
    }

    @Test("A stream sends what is there, then what comes, then the end; whoever comes back is sent the rest alone")
    func streams() async throws {
        try await withStreams { house, port, headers in
            let job = try await running(house)
            try await renew(house, job, 0, "one\n")
            let path = "/api/jobs/\(job.id)/logs/stream"
            let listener = try await EventListener.open(port: port, path: path, headers: headers)
            let first = try #require(await listener.next())
            #expect(first.name == "log" && first.data["text"] == "one\n" && first.data["attempt"] == 1 && first.data["offset"] == 0)
            try await renew(house, job, 4, "two\n")
            let second = try #require(await listener.next())
            #expect(second.data["text"] == "two\n" && second.data["offset"] == 4)
            // Skipped by a worker whose job printed too much.
            try await renew(house, job, 100_000, "far on\n")
            let third = try #require(await listener.next())
            #expect(third.data["left_out"] == 99_992)
            try await finish(house, try Fixture.finished(job, .failed, failure: .exception, log: "one\ntwo\n"))
            let end = try #require(await listener.next())
            #expect(end.name == "end" && end.data["state"] == "failed" && end.data["failure_kind"] == "exception")
            #expect(await listener.next() == nil, "nothing follows the end")
            await listener.finish()

            let back = try await EventListener.open(port: port, path: path, headers: headers, lastEventID: first.id)
            let rest = await back.rest()
            #expect(rest.map(\.name) == ["log", "end"] && rest.first?.data["text"] == "two\n")
            await back.finish()
        }
    }

    @Test("All who listen to a job are sent the same, whenever they came and wherever they broke off")
    func manyListeners() async throws {
        try await withStreams { house, port, headers in
            let job = try await running(house)
            try await renew(house, job, 0, "one\n")
            let path = "/api/jobs/\(job.id)/logs/stream"
            var listeners: [EventListener] = []
            for _ in 0..<5 { listeners.append(try await EventListener.open(port: port, path: path, headers: headers)) }
            var place: String?
            for listener in listeners {
                let first = try #require(await listener.next())
                #expect(first.data["text"] == "one\n")
                place = first.id
            }
            try await renew(house, job, 4, "two\n")
            listeners.append(try await EventListener.open(port: port, path: path, headers: headers, lastEventID: place))
            for listener in listeners { #expect(await listener.next()?.data["text"] == "two\n") }
            let late = try await EventListener.open(port: port, path: path, headers: headers)
            #expect(await late.next()?.data["text"] == "one\n")
            #expect(await late.next()?.data["text"] == "two\n")
            try await finish(house, try Fixture.finished(job, log: "one\ntwo\nthree\n"))
            for listener in listeners + [late] {
                #expect(await listener.rest().map(\.name) == ["log", "end"])
                await listener.finish()
            }
        }
    }

    @Test("What one replica is told, listeners of another hear, and go on there where they broke off")
    func replicas() async throws {
        try await withStreams { house, port, headers in
            let root = FileManager.default.temporaryDirectory.appending(path: "auspex-scheduler-\(UUID().uuidString)")
            let cpu = try CPUPool(threads: 1)
            defer {
                cpu.stop()
                try? FileManager.default.removeItem(at: root)
            }
            // Takes the renewals, while the streams are the other's.
            let other = try TestHouse(pool: house.pool, blobs: try FolderBlobStore(root: root.path(), service: "scheduler", pool: cpu))
            try await other.logNews.start()
            let job = try await running(house)
            let path = "/api/jobs/\(job.id)/logs/stream"
            let listener = try await EventListener.open(port: port, path: path, headers: headers)
            try await renew(other, job, 0, "one\n")
            let first = try #require(await listener.next())
            #expect(first.data["text"] == "one\n")
            await listener.finish()
            try await renew(other, job, 4, "two\n")
            let back = try await EventListener.open(port: port, path: path, headers: headers, lastEventID: first.id)
            #expect(await back.next()?.data["text"] == "two\n")
            try await finish(other, try Fixture.finished(job, log: "one\ntwo\nthree\n"))
            #expect(await back.rest().map(\.name) == ["log", "end"])
            await back.finish()
            await other.logNews.stop()
        }
    }

    @Test("An account has so many streams, counted when they are admitted; a place comes back when its stream ends, or never begins")
    func places() async throws {
        try await withTestHouse { house in
            let job = try await running(house)
            let path = "/api/jobs/\(job.id)/logs/stream"
            var taken = try (0..<JobFeeds.mostListenersOfAccount).map { _ in try house.logNews.places.take(Fixture.account) }
            #expect(try await house.person().get(path).verdict == "429 too_many_streams")
            let other = try house.logNews.places.take(.make())
            other.give()
            taken[0].give()
            taken[0].give()
            let again = try house.logNews.places.take(Fixture.account)
            #expect(throws: Problem.self) { _ = try house.logNews.places.take(Fixture.account) }
            again.give()
            taken.removeAll()
            for _ in 0..<JobFeeds.mostListenersOfAccount { taken.append(try house.logNews.places.take(Fixture.account)) }
        }
    }

    @Test("A stream goes over from one attempt to the next, and says which it is")
    func streamsOfAttempts() async throws {
        try await withStreams { house, port, headers in
            let job = try await running(house)
            try await renew(house, job, 0, "first\n")
            let listener = try await EventListener.open(port: port, path: "/api/jobs/\(job.id)/logs/stream", headers: headers)
            #expect(await listener.next()?.data["attempt"] == 1)
            try await finish(house, try Fixture.finished(job, .failed, failure: .infra, log: "first\nand last\n"))
            #expect(await listener.next()?.data["text"] == "and last\n")
            try await house.pool.execute("UPDATE jobs SET available_at = clock_timestamp()")
            let again = try #require(try await house.store.claim(Fixture.claim(1)).first)
            try await renew(house, again, 0, "second\n")
            let next = try #require(await listener.next())
            #expect(next.data["attempt"] == 2 && next.data["text"] == "second\n" && next.data["offset"] == 0)
            try await finish(house, try Fixture.finished(again, log: "second\n"))
            #expect(await listener.next()?.data["state"] == "completed")
            await listener.finish()
        }
    }

    @Test("A stream ends with the session that opened it, and is nobody else's")
    func streamsEnd() async throws {
        try await withStreams { house, port, headers in
            let job = try await running(house)
            let path = "/api/jobs/\(job.id)/logs/stream"
            #expect(try await house.person(.make()).get(path).status == 404)
            #expect(try await house.program(scopes: ["bars:read"]).get(path).verdict == "403 insufficient_scope")
            #expect(try await house.person().get(path + "?after=x").verdict == "400 invalid_parameter after")
            let key = house.credentials.apiKeys.make(account: Fixture.account, roles: ["provider"], scopes: ["jobs:write"])
            try await renew(house, job, 0, "one\n")
            let listener = try await EventListener.open(port: port, path: path, headers: [("X-API-Key", key.text)])
            #expect(await listener.next()?.name == "log")
            house.credentials.apiKeys.forget(key)
            #expect(await listener.next() == nil)
            await listener.finish()
        }
    }

    @Test("A search finds lines of one's own logs, whatever their case, and goes on where it stopped")
    func searches() async throws {
        try await withTestHouse { house in
            let signal = SignalID.make()
            var jobs: [Job] = []
            for index in 0..<5 {
                let spec: JSONValue = ["signal_id": .string("\(index < 3 ? signal : SignalID.make())")]
                _ = try await house.store.insert([Fixture.job("run-\(index)", kind: .dryRun, spec: spec)])
                let job = try #require(try await house.store.claim(Fixture.claim(1)).first)
                try await finish(house, try Fixture.finished(job, log: "line one\nValue 10%_ of \(index)\n\u{1B}]0;title\u{7}\n"))
                jobs.append(job)
            }
            let stranger = try await running(house, "theirs", account: .make())
            try await finish(house, try Fixture.finished(stranger, log: "value 10%_\n"))

            let all = try await house.person().get("/api/jobs/logs?q=vALUE%2010%25_").json()
            let items = try #require(all["items"]?.array)
            #expect(items.map { $0["job_id"]?.string } == jobs.reversed().map { "\($0.id)" })
            #expect(items.first?["lines"] == [["number": 2, "text": "Value 10%_ of 4"]])
            let own = try await house.person().get("/api/jobs/logs?q=value&signal_id=\(signal)").json()
            #expect(own["items"]?.array?.count == 3)
            let page = try await house.person().get("/api/jobs/logs?q=value&limit=2").json()
            let cursor = try #require(page["next_cursor"]?.string)
            let next = try await house.person().get("/api/jobs/logs?q=value&limit=100&cursor=\(cursor)").json()
            #expect(page["items"]?.array?.count == 2 && next["items"]?.array?.count == 3)
            let later = Timestamp.now() + .seconds(60)
            #expect(try await house.person().get("/api/jobs/logs?q=value&from=\(later.iso8601)").json()["items"] == [])
            #expect(try await house.person().get("/api/jobs/logs?q=value&to=\(later.iso8601)").json()["items"]?.array?.count == 5)
            #expect(try await house.person().get("/api/jobs/logs?q=%25%25").json()["items"] == [])
            #expect(try await house.person().get("/api/jobs/logs").verdict == "400 missing_parameter q")
            // Further than the times that ids can hold.
            for far in ["2600-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
                #expect(try await house.person().get("/api/jobs/logs?q=value&from=\(far)").json()["items"] == [])
                #expect(try await house.person().get("/api/jobs/logs?q=value&to=\(far)").json()["items"]?.array?.count == 5)
            }
            #expect(try await house.person().get("/api/jobs/logs?q=x").verdict == "400 invalid_parameter q")
            let lines = try await house.person().get("/api/jobs/\(jobs[0].id)/logs?q=LINE").json()
            #expect(lines["lines"] == [["number": 1, "text": "line one"]] && lines["count"] == 1)
            // A terminal must not be told anything by what is in a log: it travels escaped.
            let raw = try await house.person().get("/api/jobs/\(jobs[0].id)/logs").text
            #expect(!raw.utf8.contains(0x1B) && !raw.utf8.contains(0x07))
        }
    }

    @Test("A search goes by when a job was made, though its id is some moments older")
    func searchesFromAMoment() async throws {
        try await withTestHouse { house in
            var early = Fixture.job("early", kind: .dryRun)
            early.id = JobID.least(.now() - .seconds(600))
            _ = try await house.store.insert([early])
            let job = try #require(try await house.store.claim(Fixture.claim(1)).first)
            try await finish(house, try Fixture.finished(job, log: "value\n"))
            let from = (Timestamp.now() - .seconds(300)).iso8601
            let found = try #require(try await house.person().get("/api/jobs/logs?q=value&from=\(from)").json()["items"]?.array)
            #expect(found.map { $0["job_id"]?.string } == ["\(early.id)"])
        }
    }

    @Test("Beyond an account's bytes of the day logs are cut, with words about it; runs go on, and others' logs too")
    func quotas() async throws {
        try await withTestHouse { house in
            let long = String(repeating: "x", count: 40_000)
            // The house allows a megabyte.
            for index in 0..<26 {
                let job = try await running(house, "run-\(index)")
                try await finish(house, try Fixture.finished(job, log: long))
            }
            let last = try await running(house, "cut")
            try await renew(house, last, 0, "while it runs")
            try await finish(house, try Fixture.finished(last, result: ["done": true], log: long))
            #expect(try await log(house, last)["log"]?.string?.hasPrefix("x") == true)
            let over = try await running(house, "over")
            try await renew(house, over, 0, "while it runs")
            #expect(try await log(house, over)["log"] == "", "nor is anything kept while it runs")
            try await finish(house, try Fixture.finished(over, result: ["done": true], log: long))
            let text = try #require(try await log(house, over)["log"]?.string)
            #expect(text == LogQuota.marker(1 << 20))
            #expect(try await log(house, over)["truncated"] == true)
            #expect(try await house.store.job(over.id)?.state == .completed)
            let other = try await running(house, "other", account: .make())
            try await finish(house, try Fixture.finished(other, log: long))
            #expect(try await house.store.log(of: other.id)?.text == long)
        }
    }

    @Test("Pieces are deleted once the whole log is told, not before")
    func cleaning() async throws {
        try await withTestHouse { house in
            let logs = LogStore(pool: house.pool, bytesPerDay: 1 << 20)
            let ended = try await running(house, "ended")
            try await renew(house, ended, 0, "one\n")
            try await finish(house, try Fixture.finished(ended, log: "one\n"))
            let open = try await running(house, "open")
            try await renew(house, open, 0, "two\n")
            #expect(try await logs.cleanUp() == 0)
            try await house.pool.execute("DELETE FROM log_chunks WHERE job_id = \(ended.id)")
            try await house.pool.execute(
                """
                INSERT INTO log_chunks (job_id, attempt_id, begins_at, attempt, body, stored_at)
                VALUES (\(ended.id), \(try #require(ended.attemptID)), 0, 1, 'one', clock_timestamp() - interval '11 minutes')
                """
            )
            #expect(try await logs.cleanUp() == 1)
            #expect(try await log(house, open)["log"] == "two\n")
        }
    }
}
