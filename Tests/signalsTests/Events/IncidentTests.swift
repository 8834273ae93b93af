import Contracts
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import signals

@Suite("Troubles of a signal, as its provider is told them", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct IncidentTests {
    /// Noon of yesterday: the troubles of one test are those of one day.
    private static let due = Timestamp(seconds: (Timestamp.now().microseconds / 86_400_000_000 - 1) * 86_400 + 43_200)

    /// What happened, and the words that events say of it.
    private struct World {
        let signalID: SignalID
        let accountID: AccountID
        var envelopes: [Envelope] = []

        mutating func settled(
            _ occurrence: OccurrenceID,
            _ outcome: OccurrenceOutcome,
            _ reason: String? = nil,
            at due: Timestamp,
            through last: Timestamp? = nil,
            count: Int? = nil
        ) throws {
            let event = OccurrenceSettled(
                signalID: signalID,
                scheduleID: .make(),
                occurrenceID: occurrence,
                dueAt: due,
                outcome: outcome,
                reason: reason,
                rangeTo: last,
                dueCount: count
            )
            envelopes.append(try Envelope(event, subjectVersion: Int64(envelopes.count + 1), occurredAt: .now(), recordedAt: .now()))
        }

        mutating func ended(
            _ occurrence: OccurrenceID,
            _ failure: FailureKind?,
            _ message: String?,
            jobID: JobID = .make(),
            at due: Timestamp
        ) throws {
            let event = JobCompleted(
                jobID: jobID,
                kind: .signalRun,
                accountID: accountID,
                outcome: failure == nil ? .completed : .failed,
                failureKind: failure,
                errorMessage: message,
                attempt: 1,
                specSummary: JobSpecSummary(
                    signalID: signalID,
                    versionID: .make(),
                    versionSHA256: LedgerHash.zero,
                    occurrenceID: occurrence,
                    dueAt: due,
                    asOf: due,
                    feed: .live,
                    deadlineSeconds: 60,
                    output: ManifestOutput(kind: .direction, instrument: "BTCUSD", horizonSeconds: 60)
                ),
                finishedAt: .now()
            )
            envelopes.append(try Envelope(event, subjectVersion: 1, occurredAt: .now(), recordedAt: .now()))
        }

        mutating func rejected(_ occurrence: OccurrenceID, row: Int, _ reason: String, jobID: JobID) throws {
            let event = RunRejected(jobID: jobID, signalID: signalID, occurrenceID: occurrence, row: row, reason: reason)
            envelopes.append(try Envelope(event, subjectVersion: 1, occurredAt: .now(), recordedAt: .now()))
        }
    }

    /// The account's stream on a server of its own, from the beginning.
    private func withStream(_ platform: TestPlatform, _ provider: Person, _ body: (EventListener) async throws -> Void) async throws {
        let server = HTTPServer(
            name: "replica",
            address: "127.0.0.1",
            port: 0,
            router: platform.router,
            loops: [TestLoop.shared],
            limits: HTTPLimits(accessLog: false)
        )
        try await server.start()
        try await platform.incidentStreams.start()
        let token = try platform.people.token(user: provider.userID, account: provider.accountID, roles: provider.roles)
        let listener = try await EventListener.open(
            port: server.boundPort,
            path: "/api/stream?topics=incidents&after=0",
            headers: [("Authorization", "Bearer \(token)")]
        )
        #expect(await listener.next()?.name == "begin")
        try await body(listener)
        await listener.finish()
        await platform.incidentStreams.stop()
        await server.stop()
    }

    private func hear(_ envelopes: [Envelope], _ platform: TestPlatform) async throws {
        let handler = IncidentHandler()
        for envelope in envelopes where try handler.concerns(envelope) {
            let outcome = try await platform.pool.withTransaction { try await handler.handle(envelope, on: $0) }
            #expect(outcome == .done)
        }
    }

    @Test("Doubled and shuffled events give one answer: each due time counts once, as the worst that is known of it")
    func anyOrder() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            var world = World(signalID: id, accountID: provider.accountID)
            let occurrences = (0..<8).map { _ in OccurrenceID.make() }
            func due(_ index: Int) -> Timestamp { Self.due + .seconds(60 * index) }
            // Three that failed alike but for a number, told twice each; one of them had been late before.
            try world.settled(occurrences[0], .late, at: due(0))
            for index in 0..<3 {
                try world.ended(occurrences[index], .exception, "KeyError: row \(index * 11)\n  File \"app.py\"", at: due(index))
                try world.settled(occurrences[index], .failed, "exception", at: due(index))
            }
            try world.settled(occurrences[3], .missed, "nobody was there", at: due(3))
            try world.settled(occurrences[4], .late, at: due(4))
            try world.settled(occurrences[5], .skipped, "paused", at: due(5))
            try world.settled(occurrences[6], .skipped, "overlap", at: due(6))
            let job = JobID.make()
            try await platform.pool.execute(
                """
                INSERT INTO runs (job_id, signal_id, occurrence_id, outcome, due_at, ended_at)
                VALUES (\(job), \(id), \(occurrences[7]), 'rejected', \(due(7)), \(due(7)))
                """
            )
            try world.ended(occurrences[7], nil, nil, jobID: job, at: due(7))
            try world.rejected(occurrences[7], row: 2, "value is 2", jobID: job)
            try world.settled(occurrences[7], .failed, "the rows were refused", at: due(7))

            var answers: Set<String> = []
            for seed in 0..<6 {
                try await platform.pool.execute("DELETE FROM troubles")
                try await platform.pool.execute("DELETE FROM incidents")
                var numbers = SplitMix(seed: UInt64(seed))
                try await hear((world.envelopes + world.envelopes).shuffled(using: &numbers), platform)
                let found = try await IncidentStore(pool: platform.pool).incidents(of: id, kind: nil, unreadOnly: false, before: nil, limit: 100)
                answers.insert(
                    found.map { incident in
                        "\(incident.kind) \(incident.failureKind?.rawValue ?? "-") \(incident.count) \(incident.firstDueAt.iso8601) "
                            + "\(incident.lastDueAt.iso8601) \(incident.reason ?? "-") \(incident.message ?? "-")"
                    }.joined(separator: "\n")
                )
            }
            #expect(answers.count == 1)
            let expected: [String] = [
                "rejected invalid_output 1 \(due(7).iso8601) \(due(7).iso8601) - row 2: value is 2",
                "paused - 1 \(due(5).iso8601) \(due(5).iso8601) paused -", "late - 1 \(due(4).iso8601) \(due(4).iso8601) - -",
                "missed - 1 \(due(3).iso8601) \(due(3).iso8601) nobody was there -",
                "failed exception 3 \(due(0).iso8601) \(due(2).iso8601) exception KeyError: row 22\n  File \"app.py\"",
            ]
            #expect(answers.first == expected.joined(separator: "\n"))
        }
    }

    @Test("One failure is one incident of the stream, whichever of its two events comes first", arguments: [true, false])
    func oneFailureInTheStream(settledFirst: Bool) async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            var world = World(signalID: id, accountID: provider.accountID)
            let occurrence = OccurrenceID.make()
            try world.ended(occurrence, .exception, "KeyError: 7", at: Self.due)
            try world.settled(occurrence, .failed, "exception", at: Self.due)
            if settledFirst { world.envelopes.reverse() }
            try await withStream(platform, provider) { listener in
                var told: [String] = []
                var ids: Set<String> = []
                for envelope in world.envelopes {
                    // Another trouble behind each: when that is told, so is what was to be told before it.
                    var fence = World(signalID: id, accountID: provider.accountID)
                    try fence.settled(.make(), .missed, "down", at: Self.due)
                    try await hear([envelope] + fence.envelopes, platform)
                    while let event = await listener.next(), event.data["kind"] != "missed" {
                        told.append(
                            "\(event.data["kind"]?.string ?? "") \(event.data["message"]?.string ?? "-") \(event.data["count"]?.integer ?? -1)"
                        )
                        ids.insert(event.data["incident_id"]?.string ?? "")
                    }
                }
                #expect(ids.count == 1 && Set(told) == ["failed KeyError: 7 1"])
                let items = try await platform.client(provider).get("/api/signals/\(id)/incidents?kind=failed").json()["items"]?.array ?? []
                #expect(items.compactMap { $0["incident_id"]?.string } == Array(ids) && items.first?["reason"] == "exception")
            }
        }
    }

    @Test("A late one that then fails keeps its incident; where others failed alike the stream says that the first is gone")
    func whatTurnsOutOtherwise() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            let occurrences = (0..<2).map { _ in OccurrenceID.make() }
            var known: [String: JSONValue] = [:]
            try await withStream(platform, provider) { listener in
                for (index, occurrence) in occurrences.enumerated() {
                    var world = World(signalID: id, accountID: provider.accountID)
                    let due = Self.due + .seconds(60 * index)
                    try world.settled(occurrence, .late, at: due)
                    try await hear(world.envelopes, platform)
                    let late = try #require(await listener.next())
                    #expect(late.data["kind"] == "late" && late.data["count"] == 1)
                    known[late.data["incident_id"]?.string ?? ""] = late.data
                    world.envelopes = []
                    try world.settled(occurrence, .failed, "exception", at: due)
                    try world.ended(occurrence, .exception, "KeyError: \(index)", at: due)
                    try await hear(world.envelopes, platform)
                    // The second has to leave its place: two changes, each with an id of its own.
                    for _ in 0...index {
                        let event = try #require(await listener.next())
                        known[event.data["incident_id"]?.string ?? ""] = event.data
                    }
                }
            }
            let counts = known.values.map { "\($0["kind"]?.string ?? "") \($0["count"]?.integer ?? -1)" }.sorted()
            #expect(counts == ["failed 2", "late 0"])
            let items = try await platform.client(provider).get("/api/signals/\(id)/incidents").json()["items"]?.array ?? []
            #expect(items.compactMap { $0["incident_id"]?.string } == known.filter { $0.value["count"] != 0 }.map(\.key))
            // Late again: the one that was gone is there again, with what it holds now.
            var world = World(signalID: id, accountID: provider.accountID)
            try world.settled(.make(), .late, at: Self.due - .seconds(60))
            try await hear(world.envelopes, platform)
            let late = try await platform.client(provider).get("/api/signals/\(id)/incidents?kind=late").json()["items"]?[0]
            #expect(late?["count"] == 1 && late?["last_at"] == .string((Self.due - .seconds(60)).iso8601))
            #expect(late?["incident_id"]?.string == known.first { $0.value["count"] == 0 }?.key)
        }
    }

    @Test("No two changes of an account have one revision: a page that ends between two changes of one event loses nothing")
    func pages() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            var world = World(signalID: id, accountID: provider.accountID)
            let late = (0..<3).map { _ in OccurrenceID.make() }
            for (index, occurrence) in late.enumerated() { try world.settled(occurrence, .late, at: Self.due + .seconds(60 * index)) }
            // Leaves two that are late and begins one that failed.
            try world.ended(late[0], .exception, "KeyError", at: Self.due)
            try await hear(world.envelopes, platform)
            let store = IncidentStore(pool: platform.pool)
            var (reached, found): (Int64, [TroubleKind]) = (0, [])
            while let next = try await store.changes(of: provider.accountID, after: reached, limit: 1).first {
                found.append(next.kind)
                #expect(next.revision > reached)
                reached = next.revision
            }
            #expect(found == [.late, .failed])
            #expect(try await store.revisions(of: [provider.accountID])[provider.accountID] == reached)
        }
    }

    @Test("Many due times that were missed as one count as many")
    func manyAsOne() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            var world = World(signalID: id, accountID: provider.accountID)
            try world.settled(.make(), .missed, "downtime", at: Self.due, through: Self.due + .seconds(15_000), count: 1_500)
            try world.settled(.make(), .missed, "downtime", at: Self.due - .seconds(10))
            try await hear(world.envelopes + world.envelopes, platform)
            let item = try await platform.client(provider).get("/api/signals/\(id)/incidents").json()["items"]?[0]
            #expect(item?["count"] == 1_501 && item?["first_at"] == .string((Self.due - .seconds(10)).iso8601))
            #expect(item?["last_at"] == .string((Self.due + .seconds(15_000)).iso8601))
        }
    }

    @Test("Rows that came into the ledger too late are an incident too, one with a late start, and only those")
    func recordedLate() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            var world = World(signalID: id, accountID: provider.accountID)
            let occurrences = (0..<3).map { _ in OccurrenceID.make() }
            try world.settled(occurrences[0], .late, at: Self.due)
            for (index, occurrence) in occurrences.enumerated() {
                let job = JobID.make()
                let due = Self.due + .seconds(60 * index)
                try await platform.pool.execute(
                    """
                    INSERT INTO runs (job_id, signal_id, occurrence_id, outcome, due_at, ended_at)
                    VALUES (\(job), \(id), \(occurrence), 'recorded', \(due), \(due + .seconds(90)))
                    """
                )
                let recorded = RunRecorded(
                    jobID: job,
                    signalID: id,
                    occurrenceID: occurrence,
                    firstSeq: 1,
                    lastSeq: 1,
                    rows: 1,
                    late: index < 2,
                    recordedAt: due + .seconds(90)
                )
                world.envelopes.append(try Envelope(recorded, subjectVersion: 1, occurredAt: .now(), recordedAt: .now()))
            }
            try await hear(world.envelopes.reversed() + world.envelopes, platform)
            let items = try await platform.client(provider).get("/api/signals/\(id)/incidents").json()["items"]?.array ?? []
            #expect(items.count == 1 && items.first?["kind"] == "late" && items.first?["count"] == 2)
            #expect(items.first?["reason"] == "recorded too late to count" && items.first?["last_at"] == .string((Self.due + .seconds(60)).iso8601))
        }
    }

    @Test("Only the provider reads them, marks them, and sees which are new; a subscriber and an administrator do not")
    func routes() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            var world = World(signalID: id, accountID: provider.accountID)
            for index in 0..<5 {
                try world.ended(.make(), .exception, "Error \(Character(UnicodeScalar(UInt8(97 + index))))", at: Timestamp.now() - .seconds(index))
            }
            try world.settled(.make(), .missed, "down", at: Timestamp.now() - .seconds(100))
            try await hear(world.envelopes, platform)
            let path = "/api/signals/\(id)/incidents"
            let client = try platform.client(provider)
            let all = try await client.get(path).json()
            #expect(all["items"]?.array?.count == 6 && all["unread"] == 6)
            #expect(all["items"]?[0]?["message"] == "Error a" && all["items"]?[0]?["read"] == false)
            #expect(try await client.get(path + "?kind=missed").json()["items"]?.array?.count == 1)
            let first = try await client.get(path + "?limit=4").json()
            let cursor = try #require(first["next_cursor"]?.string)
            let second = try await client.get(path + "?limit=4&cursor=\(cursor)").json()
            #expect(second["items"]?.array?.count == 2 && second["next_cursor"] == .null)

            let one = try #require(all["items"]?[0]?["incident_id"]?.string)
            #expect(try await client.post(path + "/read", json: ["incident_ids": [.string(one)]] as JSONValue).json()["marked"] == 1)
            #expect(try await client.get(path + "?unread=true").json()["items"]?.array?.count == 5)
            #expect(try await client.post(path + "/read", json: JSONValue.object([:])).json()["marked"] == 5)
            #expect(try await client.get(path).json()["unread"] == 0)
            // The same again on the same day is news.
            var more = World(signalID: id, accountID: provider.accountID)
            try more.ended(.make(), .exception, "Error a", at: .now())
            try await hear(more.envelopes, platform)
            let news = try await client.get(path + "?unread=true").json()
            #expect(news["items"]?.array?.count == 1 && news["items"]?[0]?["count"] == 2)

            for stranger in [Person.subscriber(), .provider(), .admin()] {
                #expect(try await platform.client(stranger).get(path).verdict == "403 not_owner")
                #expect(try await platform.client(stranger).post(path + "/read", json: JSONValue.object([:])).verdict == "403 not_owner")
            }
            let reader = platform.auth.makeKey(provider, scopes: ["predictions:read"])
            #expect(try await platform.client(key: reader).get(path).verdict == "403 insufficient_scope")
            #expect(try await platform.client(key: reader).get("/api/stream?topics=incidents").verdict == "403 insufficient_scope")
            #expect(try await client.get("/api/stream?topics=weather").verdict == "400 unknown_topic")
            #expect(try await platform.client(.subscriber()).get("/api/stream?topics=incidents").verdict == "403 insufficient_role")
        }
    }

    @Test("A provider's stream tells of them as they come, of no one else's, and goes on from where it stopped")
    func stream() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            let other = Person.provider()
            let theirs = try await platform.publish(other)
            let server = HTTPServer(
                name: "replica",
                address: "127.0.0.1",
                port: 0,
                router: platform.router,
                loops: [TestLoop.shared],
                limits: HTTPLimits(accessLog: false)
            )
            try await server.start()
            try await platform.incidentStreams.start()
            let token = try platform.people.token(user: provider.userID, account: provider.accountID, roles: provider.roles)
            let headers = [("Authorization", "Bearer \(token)")]
            let path = "/api/stream?topics=incidents"
            let listener = try await EventListener.open(port: server.boundPort, path: path, headers: headers)
            let begin = try #require(await listener.next())
            #expect(begin.name == "begin")
            var world = World(signalID: theirs, accountID: other.accountID)
            try world.ended(.make(), .exception, "secret of another", at: .now())
            try await hear(world.envelopes, platform)
            world = World(signalID: id, accountID: provider.accountID)
            try world.ended(.make(), .timeLimit, "the run took longer than 60 s", at: .now())
            try await hear(world.envelopes, platform)
            let first = try #require(await listener.next())
            #expect(first.name == "incident" && first.data["failure_kind"] == "time_limit" && first.data["signal_id"] == .string("\(id)"))
            await listener.finish()
            world = World(signalID: id, accountID: provider.accountID)
            try world.settled(.make(), .missed, "down", at: .now())
            try await hear(world.envelopes, platform)
            let back = try await EventListener.open(port: server.boundPort, path: path, headers: headers, lastEventID: first.id)
            #expect(await back.next()?.name == "begin")
            #expect(await back.next()?.data["kind"] == "missed")
            platform.denied.raise(user: provider.userID, version: 9)
            #expect(await back.next() == nil)
            await back.finish()
            await platform.incidentStreams.stop()
            await server.stop()
        }
    }

    @Test("What is old is forgotten")
    func retention() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            var world = World(signalID: id, accountID: provider.accountID)
            try world.settled(.make(), .missed, "old", at: Timestamp.now() - .seconds(31 * 86_400))
            try world.settled(.make(), .missed, "young", at: Timestamp.now() - .seconds(29 * 86_400))
            try await hear(world.envelopes, platform)
            let store = IncidentStore(pool: platform.pool)
            try await store.cleanUp()
            #expect(try await store.incidents(of: id, kind: nil, unreadOnly: false, before: nil, limit: 10).map(\.reason) == ["young"])
            #expect(try await platform.pool.query("SELECT 1 FROM troubles").count == 1)
        }
    }
}

/// The same order again for the same seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
