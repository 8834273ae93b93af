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

    /// Who hears of it.
    enum Way: CaseIterable, Sendable {
        /// The consumers that hear of it anyway.
        case now
        /// What an older version left in a queue of its own.
        case oldQueue
        /// Both, while an older version is there too.
        case both
    }

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

    private func hear(_ envelopes: [Envelope], _ platform: TestPlatform, _ way: Way = .now) async throws {
        for envelope in envelopes {
            if way != .oldQueue, envelope.type != RunRejected.eventType, envelope.type != RunRecorded.eventType {
                try await hear(
                    envelope,
                    platform,
                    envelope.type == JobCompleted.eventType ? platform.runs : OccurrenceSettledHandler(store: platform.store)
                )
            }
            if way != .now { try await hear(envelope, platform, IncidentHandler()) }
        }
    }

    /// As the consumer would, but for the inbox: what it holds off must change nothing.
    private func hear(_ envelope: Envelope, _ platform: TestPlatform, _ handler: any EventHandler, failing: (any Error)? = nil) async throws {
        guard try handler.concerns(envelope) else { return }
        let prepared: any EventHandler = try await handler.prepared(for: envelope)
        let outcome = try await platform.pool.withTransaction { connection in
            let outcome = try await prepared.handle(envelope, on: connection)
            if let failing { throw failing }
            return outcome
        }
        #expect(outcome == .done)
    }

    /// The event that a run ended whose last row is refused.
    private func refused(_ id: SignalID, _ platform: TestPlatform, jobID: JobID = .make(), _ occurrence: OccurrenceID = .make(), at due: Timestamp)
        async throws
        -> Envelope
    {
        try await platform.completed(id, jobID: jobID, occurrenceID: occurrence, rows: 3, dueAt: due) { json in
            guard case .object(var members) = json, var rows = members["rows"]?.array, case .object(var fields) = rows[2] else { return }
            fields["value"] = "2"
            rows[2] = .object(fields)
            members["rows"] = .array(rows)
            json = .object(members)
        }
    }

    @Test("Doubled and shuffled events give one answer: each due time counts once, as the worst that is known of it", arguments: Way.allCases)
    func anyOrder(_ way: Way) async throws {
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
            try world.settled(occurrences[7], .failed, "the rows were refused", at: due(7))

            let reason = "value is 2, but a direction is -1, 0 or 1"
            var answers: Set<String> = []
            for seed in 0..<6 {
                try await platform.pool.execute("DELETE FROM troubles")
                try await platform.pool.execute("DELETE FROM incidents")
                var numbers = SplitMix(seed: UInt64(seed))
                // A run is recorded once; so each seed has its own of the same due time.
                let job = JobID.make()
                var rejected = World(signalID: id, accountID: provider.accountID)
                if way != .now { try rejected.rejected(occurrences[7], row: 2, reason, jobID: job) }
                if way == .oldQueue {
                    try await platform.pool.execute(
                        """
                        INSERT INTO runs (job_id, signal_id, occurrence_id, outcome, due_at, ended_at)
                        VALUES (\(job), \(id), \(occurrences[7]), 'rejected', \(due(7)), \(due(7)))
                        """
                    )
                }
                let ended = try await refused(id, platform, jobID: job, occurrences[7], at: due(7))
                // The ledger says that it was refused, so that comes after.
                if way == .both { try await hear([ended], platform, way) }
                let all = world.envelopes + rejected.envelopes + [ended]
                try await hear((all + all).shuffled(using: &numbers), platform, way)
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
                "rejected invalid_output 1 \(due(7).iso8601) \(due(7).iso8601) - row 2: \(reason)",
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

    @Test("Each kind is noted once: in the transaction of what says it, when that is tried again after an error, and when it is heard twice")
    func eachKind() async throws {
        struct Undone: Error {}
        try await withPlatform { platform in
            let provider = Person.provider()
            let id = try await platform.publish(provider)
            var world = World(signalID: id, accountID: provider.accountID)
            try world.settled(.make(), .skipped, "paused", at: Self.due)
            try world.settled(.make(), .missed, "downtime", at: Self.due)
            try world.settled(.make(), .late, at: Self.due)
            try world.ended(.make(), .exception, "KeyError", at: Self.due)
            world.envelopes.append(try await platform.completed(id, dueAt: Self.due))
            world.envelopes.append(try await refused(id, platform, at: Self.due))
            let runs = platform.runs
            for envelope in world.envelopes {
                let handler: any EventHandler = envelope.type == JobCompleted.eventType ? runs : OccurrenceSettledHandler(store: platform.store)
                let before = try await platform.pool.query("SELECT 1 FROM troubles").count
                await #expect(throws: Undone.self) { try await hear(envelope, platform, handler, failing: Undone()) }
                #expect(try await platform.pool.query("SELECT 1 FROM troubles").count == before)
                for _ in 0..<2 { try await hear(envelope, platform, handler) }
                #expect(try await platform.pool.query("SELECT 1 FROM troubles").count == before + 1)
            }
            // What goes well is none: neither a run in time nor a due time that was met.
            let due = Timestamp.now()
            try await hear([platform.completed(id, dueAt: due)], platform)
            var well = World(signalID: id, accountID: provider.accountID)
            try well.settled(.make(), .fired, at: due)
            try await hear(well.envelopes, platform)
            let found = try await IncidentStore(pool: platform.pool).incidents(of: id, kind: nil, unreadOnly: false, before: nil, limit: 100)
            #expect(found.map { "\($0.kind) \($0.count)" }.sorted() == ["failed 1", "late 2", "missed 1", "paused 1", "rejected 1"])
            #expect(Set(found.flatMap { [$0.firstDueAt, $0.lastDueAt] }) == [Self.due])
            #expect(try await platform.said(RunRejected.eventType).count == 1)
        }
    }

    @Test(
        "What an older version left in its queue is handled, and nothing new comes there: that is noted by who hears it anyway",
        .enabled(if: TestServers.hasBroker, "no test broker")
    )
    func upgrade() async throws {
        /// As it was.
        struct OldIncidentHandler: EventHandler {
            static let consumerName = IncidentHandler.consumerName
            static let eventTypes = IncidentHandler.eventTypes
            func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome { .retry(reason: "not here") }
        }
        try await withVirtualHost { broker in
            try await withPlatform { platform in
                func consumer<Handler: EventHandler>(_ handler: Handler) throws -> EventConsumer {
                    try EventConsumer(
                        service: "signals",
                        handler: handler,
                        pool: platform.pool,
                        brokerURL: broker.url,
                        loop: TestLoop.shared,
                        options: ConsumerOptions(retirementPatience: .zero)
                    )
                }
                func bindings() async throws -> Int {
                    let path = "exchanges/\(broker.virtualHost)/\(Topology.eventsExchange)/bindings/source"
                    let all = try WireJSON.parse(try await broker.manage("GET", path)).array ?? []
                    return all.filter { $0["destination"] == "signals.incidents" }.count
                }
                let provider = Person.provider()
                let id = try await platform.publish(provider)
                var world = World(signalID: id, accountID: provider.accountID)
                try world.ended(.make(), .exception, "before", at: Self.due)
                try world.settled(.make(), .missed, "before", at: Self.due)
                let publisher = try BrokerPublisher(brokerURL: broker.url, service: "signals")
                try await publisher.start()
                await publisher.connected()
                let old = try consumer(OldIncidentHandler())
                try await old.start()
                try await eventually("the queue") { try await bindings() == OldIncidentHandler.eventTypes.count }
                await old.stop()
                for envelope in world.envelopes { try await publisher.publish(envelope) }

                let parts = try [consumer(platform.runs), consumer(OccurrenceSettledHandler(store: platform.store)), consumer(IncidentHandler())]
                for part in parts { try await part.start() }
                let store = IncidentStore(pool: platform.pool)
                func counts() async throws -> [String] {
                    try await store.incidents(of: id, kind: nil, unreadOnly: false, before: nil, limit: 100).map {
                        "\($0.kind) \($0.message ?? $0.reason ?? "") \($0.count)"
                    }.sorted()
                }
                try await eventually("what was left") { try await counts() == ["failed before 1", "missed before 1"] }
                try await eventually("no bindings") { try await bindings() == 0 }
                // The same again, for who hears of it now, and new ones.
                try world.ended(.make(), .exception, "after", at: Self.due)
                try world.settled(.make(), .missed, "after", at: Self.due)
                for envelope in (world.envelopes + world.envelopes).shuffled() { try await publisher.publish(envelope) }
                try await eventually("what is new") {
                    try await platform.pool.query("SELECT 1 FROM inbox WHERE consumer IN ('runs', 'cadence')").count == 4
                }
                #expect(try await counts() == ["failed after 1", "failed before 1", "missed after 1", "missed before 1"])
                #expect(try await platform.pool.query("SELECT 1 FROM inbox WHERE consumer = 'incidents'").count == 2)
                #expect(try await bindings() == 0)
                for part in parts.reversed() { await part.stop() }
                await publisher.stop()
            }
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
            try await hear(world.envelopes.reversed() + world.envelopes, platform, .oldQueue)
            // Those that the ledger says from now on are noted with it.
            world.envelopes = []
            for (index, occurrence) in ([occurrences[0]] + [.make()]).enumerated() {
                world.envelopes.append(try await platform.completed(id, occurrenceID: occurrence, dueAt: Self.due - .seconds(60 * index)))
            }
            try await hear(world.envelopes + world.envelopes, platform)
            let items = try await platform.client(provider).get("/api/signals/\(id)/incidents").json()["items"]?.array ?? []
            #expect(items.count == 1 && items.first?["kind"] == "late" && items.first?["count"] == 3)
            #expect(items.first?["first_at"] == .string((Self.due - .seconds(60)).iso8601))
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
