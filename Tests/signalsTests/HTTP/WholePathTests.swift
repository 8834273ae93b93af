import Contracts
import Cryptography
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import signals

@Suite("From an upload to a pulled prediction", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct WholePathTests {
    @Test("Upload, publish, run, ledger, pull, settle, verify")
    func wholePath() async throws {
        try await withPlatform { platform in
            let (provider, reader) = (Person.provider(), Person.subscriber())
            let author = try platform.client(provider)
            let made = try await author.post("/api/signals", json: ["name": "Momentum", "description": "up"] as JSONValue)
            #expect(made.status == 201)
            let id = try #require(try made.json()["id"]?.string)
            #expect(try made.json()["state"] == "draft")
            let version = try await author.post("/api/signals/\(id)/versions", json: TestPlatform.files())
            #expect(version.status == 201, "\(version.text)")
            #expect(try version.json()["number"] == 1)
            #expect(try version.json()["manifest"]?["deadline_seconds"] == 60)
            #expect(platform.blobs.count == 3)
            let published = try await author.post("/api/signals/\(id)/publish")
            #expect(published.status == 200, "\(published.text)")
            #expect(try published.json()["state"] == "published")
            let events = try await platform.said(SignalPublished.eventType)
            #expect(try events.map { try $0.body(as: SignalPublished.self).signalID.description } == [id])
            #expect(events.first?.subjectVersion == 2)

            // Found by a stranger, subscribed to, and read by key.
            let list = try await platform.client(nil).get("/api/signals?instrument=BTCUSD&interval=15s&q=moment")
            #expect(try list.json()["items"]?[0]?["id"]?.string == id)
            let key = platform.auth.makeKey(reader, scopes: ["predictions:read"])
            let program = platform.client(key: key)
            #expect(try await program.get("/api/predictions/\(id)").verdict == "403 not_subscribed")
            let subscription = try await platform.client(reader).post("/api/subscriptions", json: ["signal_id": .string(id)] as JSONValue)
            #expect(subscription.status == 201)
            let empty = try await program.get("/api/predictions/\(id)")
            #expect(empty.status == 200)
            #expect(try empty.json()["seq"] == 0 && empty.json()["items"] == [] && empty.json()["signal_state"] == "published")

            let signalID = try #require(SignalID(id))
            #expect(try await platform.hear(platform.completed(signalID, rows: 2)) == .done)
            await platform.watch.look()
            let first = try await program.get("/api/predictions/\(id)").json()
            #expect(first["seq"] == 2)
            #expect(first["items"]?[0]?["seq"] == 2 && first["items"]?[0]?["late"] == false && first["items"]?[0]?["value"] == "1")
            #expect(first["items"]?[0]?["link"] == first["link"])
            #expect(first["root"] == .null)

            let sealer = Sealer(
                store: platform.store,
                signer: LedgerSigner(key: platform.ledgerKey),
                time: platform.time,
                loop: TestLoop.shared
            )
            await sealer.round()
            await platform.watch.look()
            let sealed = try await program.get("/api/predictions/\(id)").json()
            #expect(sealed["items"]?[0]?["seal"]?["root"] == sealed["root"])

            // The ledger, for the entitled and for everybody else, verifies with the published keys.
            let keys = try JWKSet(json: try await platform.client(nil).get("/api/signals/ledger/keys").body).verifyingKeys()
            for client in [program, try platform.client(nil)] {
                let export: LedgerExport = try WireJSON.decode(from: try await client.get("/api/signals/\(id)/ledger").body)
                #expect(export.rows.count == 2 && export.seals.count == 1)
                #expect(export.firstFault { LedgerSigner.isGood($0, keys: keys) } == nil)
                #expect((export.rows[0].payload != nil) == (client.headers.count > 0))
            }
            let part: LedgerExport = try WireJSON.decode(from: try await program.get("/api/signals/\(id)/ledger?after_seq=1").body)
            #expect(part.rows.map(\.seq) == [2] && part.firstFault() == nil)
            let seals = try await platform.client(nil).get("/api/signals/ledger/seals").json()
            #expect(seals["items"]?[0]?["n"] == 1)
            let day = String(Timestamp.now().iso8601.prefix(10))
            #expect(try await platform.client(nil).get("/api/signals/ledger/days/\(day)").json()["seal"]?["n"] == 1)
        }
    }

    @Test("Paging, after_seq, CSV and the list over all signals")
    func reading() async throws {
        try await withPlatform { platform in
            let (provider, reader) = (Person.provider(), Person.subscriber())
            let (one, two) = (try await platform.publish(provider), try await platform.publish(provider))
            for id in [one, two] {
                _ = try await platform.client(reader).post("/api/subscriptions", json: ["signal_id": .string(id.description)] as JSONValue)
            }
            for _ in 0..<5 {
                _ = try await platform.hear(platform.completed(one))
                _ = try await platform.hear(platform.completed(two))
            }
            let client = platform.client(key: platform.auth.makeKey(reader, scopes: ["predictions:read"]))
            var seqs: [Int64] = []
            var cursor: String?
            repeat {
                let page = try await client.get("/api/predictions/\(one)?limit=2" + (cursor.map { "&cursor=\($0)" } ?? "")).json()
                seqs += page["items"]?.array?.compactMap { $0["seq"]?.integer } ?? []
                cursor = page["next_cursor"]?.string
            } while cursor != nil
            #expect(seqs == [5, 4, 3, 2, 1])
            let after = try await client.get("/api/predictions/\(one)?after_seq=3").json()
            #expect(after["items"]?.array?.map { $0["seq"] } == [4, 5])
            let csv = try await client.get("/api/predictions/\(one)?format=csv")
            #expect(csv.headers["content-type"]?.hasPrefix("text/csv") == true)
            #expect(csv.text.split(separator: "\r\n").count == 6)
            #expect(try await client.get("/api/predictions/\(one)", headers: [("Accept", "text/csv")]).text.hasPrefix("signal_id,seq"))

            var all = 0
            cursor = nil
            repeat {
                let page = try await client.get("/api/predictions?limit=3" + (cursor.map { "&cursor=\($0)" } ?? "")).json()
                all += page["items"]?.array?.count ?? 0
                #expect(page["signals"]?.array?.count == 2)
                cursor = page["next_cursor"]?.string
            } while cursor != nil
            #expect(all == 10)
            let narrow = platform.client(key: platform.auth.makeKey(reader, scopes: ["predictions:read:\(two)"]))
            #expect(try await narrow.get("/api/predictions").json()["items"]?.array?.count == 5)
            #expect(try await narrow.get("/api/predictions/\(one)").verdict == "403 insufficient_scope")
            #expect(try await narrow.get("/api/predictions/\(two)").status == 200)
        }
    }

    @Test("Following all signals gives each row once, also what was recorded between two questions")
    func following() async throws {
        try await withPlatform { platform in
            let (provider, reader) = (Person.provider(), Person.subscriber())
            let (one, two) = (try await platform.publish(provider), try await platform.publish(provider))
            let client = try platform.client(reader)
            func subscribe(_ id: SignalID) async throws {
                _ = try await client.post("/api/subscriptions", json: ["signal_id": .string(id.description)] as JSONValue)
            }
            try await subscribe(one)
            for id in [one, two] { _ = try await platform.hear(platform.completed(id)) }
            let first = try await client.get("/api/predictions").json()
            #expect(first["items"]?.array?.count == 1)
            var mark = try #require(first["mark"]?.string)
            func next(_ query: String) async throws -> [JSONValue] {
                let answer = try await client.get("/api/predictions?after=\(mark)\(query)").json()
                mark = try #require(answer["mark"]?.string)
                #expect(answer["next_cursor"] == .null)
                return answer["items"]?.array ?? []
            }
            #expect(try await next("").isEmpty)
            // What came meanwhile is there at once, however long one would wait: nobody tells the hub here. And it comes only once.
            _ = try await platform.hear(platform.completed(one, rows: 3))
            #expect(try await next("&wait=30&limit=2").map { $0["seq"] } == [2, 3])
            #expect(try await next("&wait=30&limit=2").map { $0["seq"] } == [4])
            #expect(try await next("").isEmpty)
            // A signal that is new to the reader begins with what came after the mark.
            try await subscribe(two)
            _ = try await platform.hear(platform.completed(two))
            let joined = try await next("&wait=30")
            #expect(joined.map { $0["seq"] } == [2] && joined.first?["signal_id"]?.string == two.description)
            // And who waits is woken.
            let waiting = mark
            async let answer = client.get("/api/predictions?after=\(waiting)&wait=30")
            try await eventually("somebody waits") { Set(platform.hub.watched) == [one, two] }
            _ = try await platform.hear(platform.completed(two))
            platform.watch.heard(two)
            #expect(try await answer.json()["items"]?.array?.map { $0["seq"] } == [3])
        }
    }

    @Test("Who waits is woken by the next prediction, and told nothing new when the time is over")
    func longPoll() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            let client = try platform.client(provider)
            #expect(try await client.get("/api/predictions/\(id)?after_seq=0&wait=1").json()["items"] == [])
            async let answer = client.get("/api/predictions/\(id)?after_seq=0&wait=30")
            try await eventually("somebody waits") { platform.hub.watched == [id] }
            let startedAt = ContinuousClock.now
            _ = try await platform.hear(platform.completed(id))
            platform.watch.heard(id)
            #expect(try await answer.json()["items"]?[0]?["seq"] == 1)
            // Without being woken it would have had nothing before the 30 s were over.
            #expect(ContinuousClock.now - startedAt < .seconds(28))
            #expect(platform.hub.watched.isEmpty)
            #expect(try await client.get("/api/predictions/\(id)?wait=5").verdict == "400 missing_parameter")
        }
    }

    @Test("Without any event a new prediction is readable after one look at the revisions")
    func boundedStaleness() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            let client = try platform.client(provider)
            func seq() async throws -> JSONValue? { try await client.get("/api/predictions/\(id)").json()["seq"] }
            #expect(try await seq() == 0)
            _ = try await platform.hear(platform.completed(id))
            // Confirmed a moment ago, so the old body may still be served; after the look it may not.
            await platform.watch.look()
            #expect(try await seq() == 1)
            _ = try await client.post("/api/signals/\(id)/unpublish")
            await platform.watch.look()
            #expect(try await client.get("/api/predictions/\(id)").json()["signal_state"] == "unpublished")
            try await platform.pool.execute("UPDATE heads SET revision = revision + 1")
            // Nobody looks: the confirmation runs out by itself.
            _ = try await platform.hear(platform.completed(id))
            try await eventually { try await seq() == 2 }
        }
    }

    @Test("Versions: difference, files, rollback, parts and what is wrong with an upload")
    func versions() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            let id = try #require(try await client.post("/api/signals", json: ["name": "x"] as JSONValue).json()["id"]?.string)
            #expect(try await client.post("/api/signals/\(id)/publish").verdict == "409 no_version")
            _ = try await client.post("/api/signals/\(id)/versions", json: TestPlatform.files())
            let changed = TestPlatform.files(
                app: "def predict(context):\n    return -1\n",
                manifest: TestPlatform.manifest.replacing("horizon_seconds = 60", with: "horizon_seconds = 30")
            )
            #expect(try await client.post("/api/signals/\(id)/versions", json: changed).json()["number"] == 2)
            let diff = try await client.get("/api/signals/\(id)/versions/2/diff?from=1").json()
            #expect(diff["manifest"]?[0] == ["field": "output.horizon_seconds", "from": 60, "to": 30])
            #expect(diff["files"]?[0]?["unified"]?.string?.contains("+    return -1") == true)
            let file = try await client.get("/api/signals/\(id)/versions/2/file?path=app.py")
            #expect(file.text.contains("return -1") && file.headers["content-disposition"] == "attachment")
            let back = try await client.post("/api/signals/\(id)/versions/1/rollback").json()
            #expect(back["number"] == 3 && back["restored_from"] == 1)
            #expect(try await client.get("/api/signals/\(id)/versions?limit=2").json()["next_cursor"] == "2")

            // A large file in parts, found by hash when asked again.
            let parts = [[UInt8](repeating: 1, count: 1_000), [UInt8](repeating: 2, count: 500)]
            for part in parts {
                let digest = SHA256.digest(part)
                #expect(try await client.get("/api/signals/\(id)/blobs/\(digest)").status == 404)
                #expect(try await client.send(.put, "/api/signals/\(id)/blobs/\(digest)", body: part).status == 200)
                #expect(try await client.get("/api/signals/\(id)/blobs/\(digest)").status == 200)
            }
            #expect(try await client.send(.put, "/api/signals/\(id)/blobs/\(SHA256.digest([9]))", body: [8]).verdict == "422 wrong_sha256")
            let whole = SHA256.digest(parts[0] + parts[1])
            var body = TestPlatform.files()
            func with(_ file: JSONValue) -> JSONValue {
                guard case .object(var members) = body, var files = members["files"]?.array else { return body }
                files.append(file)
                members["files"] = .array(files)
                return .object(members)
            }
            body = with([
                "path": "weights.bin", "sha256": .string(whole.hex), "parts": .array(parts.map { .string(SHA256.digest($0).hex) }),
            ])
            let joined = try await client.post("/api/signals/\(id)/versions", json: body)
            #expect(joined.status == 201, "\(joined.text)")
            #expect(try joined.json()["files"]?.array?.contains { $0["path"] == "weights.bin" && $0["bytes"] == 1_500 } == true)

            // Another account cannot take over what it has only heard the hash of.
            let thief = Person.provider()
            let other = try #require(try await platform.client(thief).post("/api/signals", json: ["name": "y"] as JSONValue).json()["id"]?.string)
            body = TestPlatform.files()
            let stolen = try await platform.client(thief).post(
                "/api/signals/\(other)/versions",
                json: with(["path": "weights.bin", "sha256": .string(whole.hex)])
            )
            #expect(stolen.verdict == "422 unknown_blob")

            let bad = try await client.post(
                "/api/signals/\(id)/versions",
                json: TestPlatform.files(manifest: "name = 5\n[schedule]\nkind = \"never\"")
            )
            #expect(bad.verdict == "422 bad_manifest")
            #expect(try bad.json()["problems"]?.array?.compactMap { $0["field"]?.string }.contains("auspex.toml: schedule.kind") == true)
        }
    }

    @Test("A dry run is a job of the scheduler, and records nothing")
    func dryRun() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            let id = try await platform.publish(provider)
            let key = [("Idempotency-Key", "once")]
            let started = try await client.post("/api/signals/\(id)/versions/1/dry-run", json: JSONValue.object([:]), headers: key)
            #expect(started.status == 202, "\(started.text)")
            let again = try await client.post("/api/signals/\(id)/versions/1/dry-run", json: JSONValue.object([:]), headers: key)
            #expect(again.headers["idempotency-replayed"] == "true")
            #expect(try started.json()["id"] == again.json()["id"])
            #expect(platform.jobs.state.withLock { $0.asked } == 1)
            // The service dies when the job is made and its answer is not kept yet: the repeat, a moment later, finds the same job.
            try await platform.pool.execute("DELETE FROM idempotency_keys")
            let repeated = try await client.post("/api/signals/\(id)/versions/1/dry-run", json: JSONValue.object([:]), headers: key)
            #expect(repeated.status == 202 && repeated.headers["idempotency-replayed"] == nil)
            #expect(try started.json()["id"] == repeated.json()["id"])
            #expect(platform.jobs.state.withLock { $0.asked } == 2)
            let request = try #require(platform.jobs.state.withLock { $0.requests.first })
            #expect(request.kind == .dryRun && request.resourceClass == .small && request.accountID == provider.accountID)
            let spec: SignalRunSpec = try WireJSON.decode(from: request.spec)
            #expect(spec.signalID == id && spec.files.count == 3 && spec.occurrenceID == nil)

            let jobID = try #require(try started.json()["id"]?.string)
            #expect(try await client.get("/api/signals/\(id)/dry-runs/\(jobID)").json()["state"] == "pending")
            let envelope = try await platform.completed(id)
            let result = try envelope.body(as: JobCompleted.self).result
            platform.jobs.state.withLock { state in
                for job in state.standings.keys {
                    state.standings[job] = JobStanding(
                        state: .completed,
                        result: result,
                        log: "hello\n",
                        cpuSeconds: 0.25,
                        memoryPeakBytes: 40_000_000
                    )
                }
            }
            let done = try await client.get("/api/signals/\(id)/dry-runs/\(jobID)").json()
            #expect(done["cpu_seconds"]?.double == 0.25 && done["memory_peak_bytes"] == 40_000_000)
            #expect(done["log"] == "hello\n" && done["refusal"] == .null && done["result"]?["rows"]?[0]?["value"] == "1")
            #expect(try await platform.store.head(id)?.seq == 0)
            #expect(try await platform.client(Person.provider()).get("/api/signals/\(id)/dry-runs/\(jobID)").verdict == "403 not_owner")
        }
    }

    @Test("A repeated deletion gets the first answer, though the signal is gone")
    func repeatedDeletion() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            let id = try await platform.publish(provider)
            let key = [("Idempotency-Key", "once")]
            #expect(try await client.send(.delete, "/api/signals/\(id)", headers: key).status == 204)
            let again = try await client.send(.delete, "/api/signals/\(id)", headers: key)
            #expect(again.status == 204 && again.headers["idempotency-replayed"] == "true")
            #expect(try await client.delete("/api/signals/\(id)").verdict == "404 not_found")
            // The key is the account's: nobody else learns anything by it.
            #expect(try await platform.client(Person.provider()).send(.delete, "/api/signals/\(id)", headers: key).verdict == "404 not_found")
            let reading = platform.client(key: platform.auth.makeKey(provider, scopes: ["predictions:read"]))
            #expect(try await reading.send(.delete, "/api/signals/\(id)", headers: key).verdict == "403 insufficient_scope")
        }
    }

    @Test("An account has a few dry runs at once, however its requests race, and a few a minute; an ended one makes room")
    func dryRunLimits() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            let id = try await platform.publish(provider)
            let path = "/api/signals/\(id)/versions/1/dry-run"
            func begin() async throws -> RequestClient.Answer { try await client.post(path, json: JSONValue.object([:])) }
            let answers = try await withThrowingTaskGroup(of: RequestClient.Answer.self) { group in
                for _ in 0..<12 { group.addTask { try await client.post(path, json: JSONValue.object([:])) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.map(\.verdict).sorted() == Array(repeating: "202", count: 3) + Array(repeating: "429 too_many_dry_runs", count: 9))
            #expect(answers.filter { $0.status == 429 }.allSatisfy { $0.headers["retry-after"] == "5" })
            #expect(platform.jobs.state.withLock { $0.requests.count } == 3)
            // Somebody else has places of his own.
            let other = Person.provider()
            let otherID = try await platform.publish(other)
            let others = try await platform.client(other).post("/api/signals/\(otherID)/versions/1/dry-run", json: JSONValue.object([:]))
            #expect(others.status == 202)

            func endAll() {
                platform.jobs.state.withLock { state in for job in state.standings.keys { state.standings[job] = JobStanding(state: .failed) } }
            }
            endAll()
            // A job that could not be made leaves its place.
            platform.jobs.state.withLock { $0.isRefusing = true }
            for _ in 0..<4 { #expect(try await begin().status == 500) }
            platform.jobs.state.withLock { $0.isRefusing = false }
            // A full queue of the account is said as what it is, and leaves the place as well.
            platform.jobs.state.withLock { $0.refusal = .refused(service: "scheduler", status: 429, code: "queue_full", detail: "It is full.") }
            for _ in 0..<4 { #expect(try await begin().verdict == "429 queue_full") }
            platform.jobs.state.withLock { $0.refusal = nil }
            for _ in 0..<3 { #expect(try await begin().status == 202) }
            endAll()
            let refused = try await begin()
            #expect(refused.verdict == "429 dry_run_rate_limited")
            #expect((1...60).contains(Int(refused.headers["retry-after"] ?? "") ?? 0))
        }
    }

    @Test("Internal routes answer the services that they name, within the job's token")
    func internalRoutes() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            let scheduler = try platform.service("scheduler", key: TestPlatform.scheduler)
            let executor = try platform.service("executor", key: TestPlatform.executor)
            let published = try await scheduler.get("/internal/v1/published").json()
            #expect(published["signals"]?[0]?["signal_id"]?.string == id.description)
            #expect(published["signals"]?[0]?["subject_version"] == 2)
            #expect(try await executor.get("/internal/v1/published").verdict == "403 caller_not_allowed")
            #expect(try await RequestClient(router: platform.internalRouter).get("/internal/v1/published").verdict == "401 service_token_missing")

            let digest = try #require(SHA256Digest(hex: published["signals"]?[0]?["files"]?[0]?["sha256"]?.string ?? ""))
            #expect(try await executor.get("/internal/v1/blobs/\(digest)").verdict == "401 job_token_missing")
            func token(_ files: [SHA256Digest], key: SigningKey = TestPlatform.scheduler) throws -> [(String, String)] {
                let claims = JobTokenClaims(
                    jobID: .make(),
                    attemptID: .make(),
                    kind: "signal_run",
                    signalID: id,
                    codeSHA256: nil,
                    files: files,
                    instruments: [],
                    asOf: .now(),
                    now: .now(),
                    lifetimeSeconds: 60
                )
                return [("X-Auspex-Job", try JWT.sign(claims, with: key))]
            }
            #expect(try await executor.get("/internal/v1/blobs/\(digest)", headers: token([digest])).text.contains("def predict"))
            #expect(try await executor.get("/internal/v1/blobs/\(digest)", headers: token([])).verdict == "403 outside_job_token")
            // As if other files took all the room.
            var share = platform.executorFiles.take(1_000_000)
            #expect(share != nil)
            let busy = try await executor.get("/internal/v1/blobs/\(digest)", headers: token([digest]))
            #expect(busy.verdict == "429 overloaded" && busy.headers["retry-after"] != nil)
            share = nil
            #expect(try await executor.get("/internal/v1/blobs/\(digest)", headers: token([digest])).status == 200)
            #expect(
                try await executor.get("/internal/v1/blobs/\(digest)", headers: token([digest], key: TestPlatform.executor)).verdict
                    == "401 invalid_job_token"
            )
        }
    }
}
