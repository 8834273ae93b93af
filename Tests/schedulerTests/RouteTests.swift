import BlobStore
import Contracts
import Cryptography
import Foundation
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// The routes over the store in memory, called in process.
struct RouteTests {
    /// Stands in for authentication: who asks is what the test says.
    private struct TestAuthentication: Middleware {
        let scopes: [String]?
        var role = "provider"

        func handle(_ request: Request, next: Handler) async throws -> Response {
            var request = request
            guard let account = request.headers["X-Test-Account"].flatMap({ AccountID($0) }) else { throw Problem.unauthorized() }
            let credential: Principal.Credential = scopes.map { .apiKey(.make(), scopes: $0) } ?? .session(.make())
            request.principal = Principal(userID: .make(), accountID: account, roles: [role], credential: credential)
            return try await next(request)
        }
    }

    private struct House: Sendable {
        let store: InMemorySchedulerStore
        let people: RequestClient
        let keyHolder: RequestClient
        /// Of another account.
        let administrator: RequestClient
        /// As the executor, as signals, as marketdata.
        let services: RequestClient
        let signals: RequestClient
        let marketdata: RequestClient
        let key: SigningKey
    }

    private func withHouse(_ body: (House) async throws -> Void) async throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "auspex-scheduler-\(UUID().uuidString)")
        let pool = try CPUPool(threads: 1)
        defer {
            pool.stop()
            try? FileManager.default.removeItem(at: root)
        }
        let store = InMemorySchedulerStore()
        let blobs = try FolderBlobStore(root: root.path(), service: "scheduler", pool: pool)
        let key = try SigningKey.generate()
        let routes = SchedulerRoutes(
            store: store,
            intake: JobIntake(store: store, loop: TestLoop.shared) { _ in },
            desk: ClaimDesk(store: store, blobs: blobs, signingKey: key, time: SystemTimeSource()),
            blobs: blobs
        )
        let serviceKeys = try ["executor", "signals", "marketdata"].map { (name: $0, key: try SigningKey.generate()) }
        let verifier = try ServiceTokenVerifier(jwks: JWKSet(keys: serviceKeys.map { $0.key.verifyingKey.jwk(service: $0.name) }))
        var services = Router(problemOf: SchedulerRoutes.problem)
        routes.addInternalRoutes(to: &services) { ServiceAuthentication(verifier: verifier, audience: "scheduler", allowedCallers: $0) }
        func client(_ index: Int, _ router: Router) throws -> RequestClient {
            let token = try ServiceTokenSource(service: serviceKeys[index].name, key: serviceKeys[index].key).token(audience: "scheduler")
            return RequestClient(router: router).with(header: "Authorization", "Service \(token)")
        }
        try await body(
            House(
                store: store,
                people: RequestClient(router: routes.publicRouter(TestAuthentication(scopes: nil))).with(
                    header: "X-Test-Account",
                    Fixture.account.description
                ),
                keyHolder: RequestClient(router: routes.publicRouter(TestAuthentication(scopes: ["bars:read"]))).with(
                    header: "X-Test-Account",
                    Fixture.account.description
                ),
                administrator: RequestClient(router: routes.publicRouter(TestAuthentication(scopes: nil, role: "admin"))).with(
                    header: "X-Test-Account",
                    AccountID.make().description
                ),
                services: try client(0, services),
                signals: try client(1, services),
                marketdata: try client(2, services),
                key: key
            )
        )
    }

    /// A copy of a claim that the network held back arrives after its answer: nobody waits for what it would win.
    @Test func aClaimThatWasAnsweredWinsNothingNew() async throws {
        try await withHouse { house in
            let claim = ClaimRequest(claimID: .make(), worker: "w", classes: [ClassSlots(class: .small, slots: 2)])
            let empty: ClaimAnswer = try await house.services.post("/internal/v1/jobs/claim", json: claim).decode()
            _ = try await house.store.insert([Fixture.job("a")])
            let late: ClaimAnswer = try await house.services.post("/internal/v1/jobs/claim", json: claim).decode()
            let next = ClaimRequest(claimID: .make(), worker: "w", classes: [ClassSlots(class: .small, slots: 2)])
            let won: ClaimAnswer = try await house.services.post("/internal/v1/jobs/claim", json: next).decode()
            let again: ClaimAnswer = try await house.services.post("/internal/v1/jobs/claim", json: next).decode()
            #expect(empty.jobs.isEmpty && late.jobs.isEmpty && won.jobs.count == 1 && again.jobs.map(\.jobID) == won.jobs.map(\.jobID))
        }
    }

    @Test func aJobFromItsRequestToItsResult() async throws {
        try await withHouse { house in
            let run = try WireJSON.value(
                of: SignalRunSpec(
                    signalID: .make(),
                    versionID: .make(),
                    versionSHA256: SHA256.digest(utf8: "v"),
                    files: [CodeFile(path: "app.py", sha256: SHA256.digest(utf8: "app"), bytes: 3)],
                    manifest: Fixture.publication().manifest,
                    occurrenceID: nil,
                    dueAt: Fixture.start,
                    asOf: Fixture.start,
                    feed: .live
                )
            )
            let wanted = JobRequest(
                kind: .dryRun,
                resourceClass: .small,
                accountID: Fixture.account,
                priority: .normal,
                spec: run,
                idempotencyKey: "k",
                maxAttempts: 1
            )
            let made = try await house.signals.post("/internal/v1/jobs", json: wanted)
            let again = try await house.signals.post("/internal/v1/jobs", json: wanted)
            #expect(made.status == 201 && again.status == 200)
            let receipt: JobReceipt = try made.decode()
            // A dry run is asked for again a moment later: the moment is no other wish, but another version is.
            var later = wanted
            later.spec = run.with("due_at", "2016-10-08T00:00:01.000000Z").with("as_of", "2016-10-08T00:00:01.000000Z")
            let repeated: JobReceipt = try await house.signals.post("/internal/v1/jobs", json: later).decode()
            #expect(repeated == JobReceipt(jobID: receipt.jobID, created: false))
            later.spec = run.with("version_sha256", .string(SHA256.digest(utf8: "w").hex))
            #expect(try await house.signals.post("/internal/v1/jobs", json: later).problemCode == "idempotency_key_reused")
            let claim = ClaimRequest(claimID: .make(), worker: "w", classes: [ClassSlots(class: .small, slots: 2)])
            let given = try await house.services.post("/internal/v1/jobs/claim", json: claim)
            #expect(given.status == 200, "\(given.text)")
            let claimed: ClaimAnswer = try given.decode()
            let job = try #require(claimed.jobs.first)
            #expect(job.jobID == receipt.jobID && job.leaseSeconds == 30 && job.timeLimitSeconds == 60)
            let verifyingKey = house.key.verifyingKey
            let token = try JWT.verify(
                job.jobToken,
                as: JobTokenClaims.self,
                keys: { $0 == verifyingKey.keyID ? verifyingKey : nil },
                now: .now(),
                audience: JobTokenClaims.audience,
                issuer: JobTokenClaims.issuer
            )
            #expect(token.jobID == job.jobID && token.attemptID == job.attemptID && token.files == [SHA256.digest(utf8: "app")])
            #expect(token.instruments == ["BTCUSD"] && token.asOf == Fixture.start && token.expiresAt > Timestamp.now().seconds + 600)
            // A result that is too large for a row travels by its hash.
            let large = JSONValue.string(String(repeating: "x", count: 20_000))
            let report = FinishedJob(
                jobID: job.jobID,
                attemptID: job.attemptID,
                outcome: .completed,
                failureKind: nil,
                errorMessage: nil,
                result: large,
                resultSHA256: nil,
                cpuSeconds: 1,
                memoryPeakBytes: 5,
                log: "printed",
                logTruncated: false
            )
            let answer: FinishAnswer = try await house.services.post(
                "/internal/v1/jobs/finish",
                json: FinishRequest(worker: "w", finished: [report], next: nil)
            ).decode()
            #expect(answer.finished.map(\.state) == [.accepted])
            let shown = try await house.people.get("/api/jobs/\(job.jobID)").json()
            #expect(shown["state"]?.string == "completed" && shown["result"]?.string == nil)
            let digest = try #require(shown["result_sha256"]?.string)
            let bytes = try await house.signals.get("/internal/v1/results/\(digest)").body
            #expect(bytes == WireJSON.encode(large))
            let log = try await house.people.get("/api/jobs/\(job.jobID)/logs").json()
            #expect(log["log"]?.string == "printed")
            let standing = try await house.signals.get("/internal/v1/jobs/\(job.jobID)").json()
            #expect(standing["log"]?.string == "printed" && standing["state"]?.string == "completed")
        }
    }

    @Test func anothersJobIsNotThere() async throws {
        try await withHouse { house in
            let foreign = Fixture.job("foreign", account: .make(), kind: .dryRun)
            let own = Fixture.job("own", kind: .dryRun)
            _ = try await house.store.insert([foreign, own])
            let hidden = try await house.people.get("/api/jobs/\(foreign.id)")
            let hiddenLog = try await house.people.get("/api/jobs/\(foreign.id)/logs")
            let hiddenCancel = try await house.people.delete("/api/jobs/\(foreign.id)")
            #expect(hidden.status == 404 && hiddenLog.status == 404 && hiddenCancel.status == 404)
            let list = try await house.people.get("/api/jobs?limit=1").json()
            #expect(
                list["items"]?.array?.count == 1 && list["items"]?[0]?["job_id"]?.string == own.id.description && list["next_cursor"]?.isNull ?? false
            )
            let cancelled = try await house.people.delete("/api/jobs/\(own.id)")
            #expect(cancelled.status == 202)
            let again = try await house.people.delete("/api/jobs/\(own.id)")
            #expect(again.status == 202)
            let key = try await house.keyHolder.get("/api/jobs")
            #expect(key.status == 403 && key.problemCode == "insufficient_scope")
        }
    }

    @Test func theWorkOfThePlatformIsNotItsProvidersToCallOff() async throws {
        try await withHouse { house in
            let settlement = Fixture.job("s", class: .signals, kind: .settlement)
            let run = Fixture.job("r", class: .signal, kind: .signalRun)
            let dryRun = Fixture.job("d", kind: .dryRun)
            _ = try await house.store.insert([settlement, run, dryRun])
            func ids(_ client: RequestClient, _ query: String = "") async throws -> Set<String> {
                Set((try await client.get("/api/jobs" + query).json())["items"]?.array?.compactMap { $0["job_id"]?.string } ?? [])
            }
            let all = Set([settlement, run, dryRun].map(\.id.description))
            let own = all.subtracting([settlement.id.description])
            let seen = try await ids(house.people)
            #expect(seen == own)
            let asked = try await ids(house.people, "?kind=settlement,signal_run")
            #expect(asked == [run.id.description])
            let path = "/api/jobs/\(settlement.id)"
            let hidden = [try await house.people.get(path), try await house.people.get(path + "/logs"), try await house.people.delete(path)]
            #expect(hidden.map(\.status) == [404, 404, 404])
            let state = try await house.store.job(settlement.id)?.state
            #expect(state == .pending)
            let seenByAdministrator = try await ids(house.administrator)
            let shown = try await house.administrator.get(path)
            #expect(seenByAdministrator == all && shown.status == 200)
            let cancelled = try await house.administrator.delete(path)
            #expect(cancelled.status == 202)
        }
    }

    @Test func whatChartsWillAskForIsMarketdatasToOrderAndToDo() async throws {
        try await withHouse { house in
            func ask(asOf: Timestamp, end: String = "2016-11-01T00:00:00Z") async throws -> RequestClient.Answer {
                let spec = ResampleAllSpec(
                    instrument: "SPY",
                    start: try #require(Timestamp(iso8601: "2016-10-01T00:00:00Z")),
                    end: try #require(Timestamp(iso8601: end)),
                    asOf: asOf
                )
                let request = JobRequest(
                    kind: .resampleAll,
                    resourceClass: .marketdata,
                    accountID: .platform,
                    priority: .low,
                    spec: try WireJSON.value(of: spec),
                    idempotencyKey: "marketdata:resample_all:1",
                    maxAttempts: 2
                )
                return try await house.marketdata.post("/internal/v1/jobs", json: request)
            }
            let first = try await ask(asOf: .now())
            #expect(first.status == 201)
            // Another replica, a moment later, for the same revisions.
            let again = try await ask(asOf: .now() + .seconds(5))
            #expect(again.status == 200)
            #expect(try again.json()["job_id"] == first.json()["job_id"])
            #expect(try await ask(asOf: .now(), end: "2016-12-01T00:00:00Z").problemCode == "idempotency_key_reused")
            // Nobody's own doing: only administrators see it.
            let id = try #require(try first.json()["job_id"]?.string)
            #expect(try await house.people.get("/api/jobs/\(id)").status == 404)
            #expect(try await house.people.delete("/api/jobs/\(id)").status == 404)
            #expect(try await house.administrator.get("/api/jobs/\(id)").json()["kind"]?.string == "resample_all")
            let claim = ClaimRequest(claimID: .make(), worker: "m", classes: [ClassSlots(class: .marketdata, slots: 1)])
            let claimed = try WireJSON.decode(ClaimAnswer.self, from: try await house.marketdata.post("/internal/v1/jobs/claim", json: claim).body)
            let job = try #require(claimed.jobs.first)
            #expect(job.kind == .resampleAll && job.priority == .low && job.timeLimitSeconds == 600)
            #expect(JobLimits.queueTimeoutSeconds(kind: job.kind) == 600)
        }
    }

    /// An executor that converts a file may read that file, by its hash, and nothing else.
    @Test func theTokenOfAConversionNamesTheFile() async throws {
        try await withHouse { house in
            let spec = TableConversionSpec(
                uploadID: .make(),
                fileSHA256: SHA256.digest(utf8: "file"),
                bytes: 4,
                parts: 1,
                format: "Parquet",
                maximumTextBytes: 1,
                maximumPackedBytes: 1
            )
            let request = JobRequest(
                kind: .tableConversion,
                resourceClass: .standard,
                accountID: .platform,
                spec: try WireJSON.value(of: spec),
                idempotencyKey: "marketdata:table_conversion:1"
            )
            #expect(try await house.marketdata.post("/internal/v1/jobs", json: request).status == 201)
            let claim = ClaimRequest(claimID: .make(), worker: "w", classes: [ClassSlots(class: .standard, slots: 1)])
            let claimed: ClaimAnswer = try await house.services.post("/internal/v1/jobs/claim", json: claim).decode()
            let job = try #require(claimed.jobs.first)
            #expect(job.kind == .tableConversion && job.timeLimitSeconds == 600)
            let verifyingKey = house.key.verifyingKey
            let token = try JWT.verify(
                job.jobToken,
                as: JobTokenClaims.self,
                keys: { $0 == verifyingKey.keyID ? verifyingKey : nil },
                now: .now(),
                audience: JobTokenClaims.audience,
                issuer: JobTokenClaims.issuer
            )
            #expect(token.files == [SHA256.digest(utf8: "file")] && token.instruments.isEmpty && token.kind == "table_conversion")
            #expect(try await house.people.get("/api/jobs/\(job.jobID)").status == 404)
        }
    }

    @Test func anEndedJobCannotBeCancelled() async throws {
        try await withHouse { house in
            _ = try await house.store.insert([Fixture.job("a", kind: .dryRun)])
            let job = try #require(try await house.store.claim(Fixture.claim()).first)
            _ = try await house.store.finish([try Fixture.finished(job)])
            let answer = try await house.people.delete("/api/jobs/\(job.id)")
            #expect(answer.status == 409 && answer.problemCode == "job_ended")
        }
    }

    @Test(arguments: [
        ("/api/jobs?state=sleeping", "state"), ("/api/jobs?limit=0", "limit"), ("/api/jobs?limit=201", "limit"),
        ("/api/jobs?signal_id=x", "signal_id"),
        ("/api/jobs?cursor=%21", "cursor"), ("/api/jobs?frm=1", "frm"), ("/api/schedules?cursor=abc", "cursor"), ("/api/schedules?limit=x", "limit"),
    ]) func badQueriesAreNamed(path: String, field: String) async throws {
        try await withHouse { house in
            let answer = try await house.people.get(path)
            #expect(answer.status == 400 && answer.problemField == field, "\(answer.text)")
        }
    }

    @Test(arguments: ["/api/jobs/1", "/api/jobs/00000000-0000-0000-0000-000000000000", "/api/schedules/x/occurrences"])
    func whatIsNoIDIsNotThere(path: String) async throws {
        try await withHouse { house in
            let answer = try await house.people.get(path)
            #expect(answer.status == 404)
        }
    }

    @Test func theExecutorMayNotClaimWhatServicesDoThemselves() async throws {
        try await withHouse { house in
            for (client, resourceClass, status) in [
                (house.services, ResourceClass.signals, 403), (house.services, .marketdata, 403), (house.services, .signal, 200),
                (house.signals, .signals, 200), (house.signals, .small, 403),
            ] {
                let claim = ClaimRequest(claimID: .make(), worker: "w", classes: [ClassSlots(class: resourceClass, slots: 1)])
                let answer = try await client.post("/internal/v1/jobs/claim", json: claim)
                #expect(answer.status == status, "\(resourceClass)")
                #expect(status == 200 || answer.problemCode == "class_not_allowed")
            }
        }
    }

    @Test(arguments: [
        #"{}"#, #"[]"#, #"{"claim_id":"x"}"#, #"{"claim_id":"01890a5d-ac96-774b-bcce-b302099a8057","worker":1,"classes":[]}"#,
        #"{"claim_id":"01890a5d-ac96-774b-bcce-b302099a8057","worker":"w","classes":[{"class":"huge","slots":1}]}"#,
        #"{"claim_id":"01890a5d-ac96-774b-bcce-b302099a8057","worker":"w","classes":[{"class":"gpu","slots":-1}]}"#,
        #"{"claim_id":"01890a5d-ac96-774b-bcce-b302099a8057","worker":"","classes":[]}"#, "not json",
    ]) func badClaimsAreRefused(body: String) async throws {
        try await withHouse { house in
            let answer = try await house.services.send(
                .post,
                "/internal/v1/jobs/claim",
                headers: [("content-type", "application/json")],
                body: Array(body.utf8)
            )
            #expect(answer.status == 400, "\(answer.text)")
        }
    }

    @Test func schedulesOccurrencesAndCadence() async throws {
        try await withHouse { house in
            let event = Fixture.publication(.interval(seconds: 60))
            _ = try await house.store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            let maker = OccurrenceMaker(store: house.store)
            for minute in 1...5 { _ = try await maker.makeDue(at: Fixture.start + .seconds(60 * minute)) }
            let list = try await house.people.get("/api/schedules").json()
            let id = try #require(list["items"]?[0]?["schedule_id"]?.string)
            #expect(list["items"]?[0]?["cadence"]?["seconds"]?.integer == 60)
            let first = try await house.people.get("/api/schedules/\(id)/occurrences?limit=3").json()
            let cursor = try #require(first["next_cursor"]?.string)
            let rest = try await house.people.get("/api/schedules/\(id)/occurrences?limit=3&cursor=\(cursor)").json()
            #expect(first["items"]?.array?.count == 3 && rest["items"]?.array?.count == 2 && rest["next_cursor"]?.isNull ?? false)
            #expect(rest["items"]?[1]?["outcome"]?.string == "fired" && first["items"]?[0]?["reason"]?.string == "overlap")
            let cadence = try await house.signals.get("/internal/v1/signals/\(event.signalID)/cadence").json()
            #expect(
                cadence["signal_state"]?.string == "active" && cadence["last_outcome"]?.string == "skipped" && cadence["next_due_at"]?.string != nil
            )
            let unknown = try await house.signals.get("/internal/v1/signals/\(SignalID.make())/cadence")
            #expect(unknown.status == 404)
        }
    }

    @Test func aScheduleSaysWhatKeepsItWaiting() async throws {
        try await withHouse { house in
            let event = Fixture.publication(.session(instrument: "SPY", moment: .every(seconds: 300)), policy: SchedulePolicy(overlap: .allowAll))
            _ = try await house.store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            try await house.store.note(fault: "marketdata is away", ofMarket: "SPY")
            let waiting = try await house.people.get("/api/schedules").json()["items"]?[0]
            #expect(waiting?["cadence"]?["kind"] == "session" && waiting?["policy"]?["overlap"] == "allow_all")
            #expect(waiting?["market"] == ["instrument": "SPY", "fault": "marketdata is away"] && waiting?["next_due_at"] == nil)
        }
    }

    @Test func badJobRequestsAreNamed() async throws {
        try await withHouse { house in
            var wanted = JobRequest(
                kind: .noop,
                resourceClass: .small,
                accountID: Fixture.account,
                priority: .normal,
                spec: .object([:]),
                idempotencyKey: "",
                maxAttempts: 1
            )
            let noKey = try await house.signals.post("/internal/v1/jobs", json: wanted)
            wanted.idempotencyKey = "k"
            wanted.maxAttempts = 0
            let noAttempts = try await house.signals.post("/internal/v1/jobs", json: wanted)
            wanted.maxAttempts = 1
            _ = try await house.signals.post("/internal/v1/jobs", json: wanted)
            wanted.spec = ["other": 1]
            let reused = try await house.signals.post("/internal/v1/jobs", json: wanted)
            #expect(noKey.problemField == "idempotency_key" && noAttempts.problemField == "max_attempts")
            #expect(reused.status == 422 && reused.problemCode == "idempotency_key_reused")
        }
    }
}

extension JSONValue {
    /// This object with another member.
    fileprivate func with(_ name: String, _ value: JSONValue) -> JSONValue {
        guard case .object(var members) = self else { return self }
        members[name] = value
        return .object(members)
    }
}
