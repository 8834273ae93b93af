import Bars
import Contracts
import Cryptography
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Streams of bars over sockets: what a listener is told, and that another replica goes on where one has ended.
@Suite(.enabled(if: TestServers.hasPostgres)) struct BarStreamTests {
    // MARK: What was known

    @Test func aReplaysStreamIsWhatBarsSay() async throws {
        try await withStreamWorld(minutes: 30) { world in
            let replay = try await world.replay(start: "2016-10-08T00:10:00Z")
            let replica = try await world.replica()
            let listener = try await replica.listen(["1m:\(replay.symbol)", "5m:\(replay.symbol)"])
            // Something to draw at once: the last bar that closed and the one that runs.
            let beginning = await listener.events { $0.place != nil }
            #expect(beginning.map(\.label) == ["bar 1m:\(replay.symbol) 00:09", "bar 5m:\(replay.symbol) 00:05"])
            var known: [Timestamp] = []
            for minute in 11...22 { known.append(try await world.release(replay, through: "2016-10-08T00:\(minute):00Z")) }
            let last = known[11].microseconds
            let events = await listener.events { $0.place == last }
            for symbol in ["1m", "5m"] {
                let bars = try await world.bars(replay.symbol, symbol, from: "2016-10-08T00:10:00Z")
                let told = events.filter { $0.name == "bar" && $0["topic"] == "\(symbol):\(replay.symbol)" }
                for column in ["start", "end", "open", "high", "low", "close", "volume"] {
                    #expect(told.map { $0[column] } == bars[column], "\(symbol) \(column)")
                }
            }
            #expect(events.filter { $0.name == "running" }.allSatisfy { $0.data["partial"] == .bool(true) && $0["topic"]?.hasPrefix("5m") == true })
            #expect(events.last { $0.name == "running" }?["close"] == "121.25")
            // Ids rise and are moments of releases; what stands between two became known after the one and by the other.
            let ids = events.compactMap(\.place)
            #expect(ids == ids.sorted() && Set(ids).count == ids.count)
            #expect(Set(ids).isSubset(of: Set(known.map(\.microseconds))))
            var (pass, marked): ([Int64], Int64) = ([], beginning.last?.place ?? .max)
            for event in events {
                pass.append(try #require(event["known_at"].flatMap { Timestamp(iso8601: $0) }).microseconds)
                guard let id = event.place else { continue }
                #expect(pass.allSatisfy { $0 > marked && $0 <= id })
                (pass, marked) = ([], id)
            }
            await listener.finish()
            await replica.stop()
        }
    }

    @Test func anotherReplicaGoesOnWhereOneHasEnded() async throws {
        try await withStreamWorld(minutes: 30) { world in
            let replay = try await world.replay(start: "2016-10-08T00:00:00Z")
            let topics = ["1m:\(replay.symbol)", "3m:\(replay.symbol)"]
            let one = try await world.replica()
            let first = try await one.listen(topics)
            _ = await first.events { $0.place != nil }
            var labels: [String] = []
            var id: Int64?
            for minute in 1...4 {
                let known = try await world.release(replay, through: "2016-10-08T00:0\(minute):00Z").microseconds
                let events = await first.events { $0.place == known }
                labels += events.filter { $0.name == "bar" }.map(\.label)
                id = events.last?.place
            }
            // It dies; bars become known while nobody listens, and more while somebody does again.
            await one.stop()
            #expect(await first.next() == nil)
            await first.finish()
            for minute in 5...7 { _ = try await world.release(replay, through: "2016-10-08T00:0\(minute):00Z") }
            let other = try await world.replica()
            let second = try await other.listen(topics, lastEventID: id)
            let missed = await second.events { $0.place != nil }
            labels += missed.filter { $0.name == "bar" }.map(\.label)
            let known = try await world.release(replay, through: "2016-10-08T00:08:00Z").microseconds
            labels += await second.events { $0.place == known }.filter { $0.name == "bar" }.map(\.label)
            let ones = (0..<8).map { "bar 1m:\(replay.symbol) 00:0\($0)" }
            #expect(labels.filter { $0.hasPrefix("bar 1m") } == ones)
            #expect(labels.filter { $0.hasPrefix("bar 3m") } == ["bar 3m:\(replay.symbol) 00:00", "bar 3m:\(replay.symbol) 00:03"])
            await second.finish()
            await other.stop()
        }
    }

    /// Somebody who comes with the id of a replica that was ahead is told nothing twice.
    @Test func anIdAheadOfTheReplicaIsWaitedFor() async throws {
        try await withStreamWorld(minutes: 30) { world in
            let replay = try await world.replay(start: "2016-10-08T00:00:00Z")
            let replica = try await world.replica(hearing: false)
            let deaf = try await replica.listen(["1m:\(replay.symbol)"])
            _ = await deaf.events { $0.place != nil }
            let known = try await world.release(replay, through: "2016-10-08T00:01:00Z").microseconds
            let ahead = try await replica.listen(["1m:\(replay.symbol)"], lastEventID: known)
            #expect(await ahead.events { $0.place != nil }.map(\.name) == ["mark"])
            #expect(await deaf.events { $0.place != nil }.map(\.label) == ["bar 1m:\(replay.symbol) 00:00"])
            await ahead.finish()
            await deaf.finish()
            await replica.stop()
        }
    }

    @Test func whoHasMissedTooMuchBeginsAnew() async throws {
        try await withStreamWorld(minutes: 30) { world in
            let replay = try await world.replay(start: "2016-10-08T00:00:00Z")
            let id = try await world.release(replay, through: "2016-10-08T00:01:00Z").microseconds
            _ = try await world.release(replay, through: "2016-10-08T00:20:00Z")
            let replica = try await world.replica(maximumBars: 18)
            let listener = try await replica.listen(["1m:\(replay.symbol)"], lastEventID: id)
            #expect(await listener.events { $0.place != nil }.map(\.label) == ["reset 1m:\(replay.symbol)", "bar 1m:\(replay.symbol) 00:19"])
            await listener.finish()
            let patient = try await world.replica(maximumBars: 19)
            let other = try await patient.listen(["1m:\(replay.symbol)"], lastEventID: id)
            #expect(await other.events { $0.place != nil }.filter { $0.name == "bar" }.count == 19)
            await other.finish()
            await replica.stop()
            await patient.stop()
        }
    }

    @Test func intervalsWithoutATradeCloseEmpty() async throws {
        try await withStreamWorld(minutes: 12, skipping: [3, 4, 6]) { world in
            let replay = try await world.replay(start: "2016-10-08T00:00:00Z")
            let replica = try await world.replica()
            let listener = try await replica.listen(["1m:\(replay.symbol)"])
            _ = await listener.events { $0.place != nil }
            _ = try await world.release(replay, through: "2016-10-08T00:02:00Z")
            let known = try await world.release(replay, through: "2016-10-08T00:08:00Z").microseconds
            let events = await listener.events { $0.place == known }
            let symbol = "1m:\(replay.symbol)"
            #expect(
                events.map(\.label) == [
                    "bar \(symbol) 00:00", "bar \(symbol) 00:01", "bar \(symbol) 00:02", "empty \(symbol) 00:03", "bar \(symbol) 00:05",
                    "empty \(symbol) 00:06", "bar \(symbol) 00:07",
                ]
            )
            let empty = try #require(events.first { $0.name == "empty" })
            #expect(empty.data["intervals"] == .integer(2) && empty.data["bar"] == .null && empty["end"] == "2016-10-08T00:05:00.000000Z")
            await listener.finish()
            await replica.stop()
        }
    }

    @Test func aCorrectionIsToldWithItsRange() async throws {
        try await withStreamWorld(minutes: 60) { world in
            try await world.bench.take(minutes(from: "2016-10-09T00:00:00Z", count: 60), as: "BTCUSD.csv")
            let replica = try await world.replica()
            let (fine, coarse) = (try await replica.listen(["1m:BTCUSD"]), try await replica.listen(["15m:BTCUSD"]))
            for listener in [fine, coarse] { _ = await listener.events { $0.place != nil } }
            // A day before the last one, in its middle: three minutes have other prices.
            try await world.bench.take(minutes(from: "2016-10-08T00:20:00Z", count: 3, first: 500), as: "BTCUSD.csv")
            let change = try #require(await fine.events { $0.place != nil }.last)
            #expect(change.name == "revised")
            #expect(change["from"] == "2016-10-08T00:20:00.000000Z" && change["to"] == "2016-10-08T00:23:00.000000Z")
            #expect(change.data["revision"] == .integer(2))
            let wider = try #require(await coarse.events { $0.place != nil }.last)
            #expect(wider["from"] == "2016-10-08T00:15:00.000000Z" && wider["to"] == "2016-10-08T00:30:00.000000Z")
            // The last bars of all: seen with what a listener was told a moment ago.
            try await world.bench.take(minutes(from: "2016-10-09T00:58:00Z", count: 2, first: 900), as: "BTCUSD.csv")
            let last = try #require(await fine.events { $0.place != nil }.last)
            #expect(last.name == "revised" && last["from"] == "2016-10-09T00:58:00.000000Z" && last["to"] == "2016-10-09T01:00:00.000000Z")
            // Who was away hears of both, as one range.
            let late = try await replica.listen(["1m:BTCUSD"], lastEventID: (change.place ?? 0) - 1)
            #expect(await late.events { $0.place != nil }.map { $0["from"] } == ["2016-10-08T00:20:00.000000Z"])
            for listener in [fine, coarse, late] { await listener.finish() }
            await replica.stop()
        }
    }

    /// An id says that nothing older is to come, of any topic: of a quiet one that has to be found out.
    @Test func ofAQuietTopicTheProofComesLater() async throws {
        try await withStreamWorld(minutes: 30) { world in
            let (busy, quiet) = (try await world.replay(start: "2016-10-08T00:00:00Z"), try await world.replay(start: "2016-10-08T00:05:00Z"))
            let replica = try await world.replica(hearing: false)
            let listener = try await replica.listen(["1m:\(busy.symbol)", "1m:\(quiet.symbol)"])
            _ = await listener.events { $0.place != nil }
            let moment = try await world.release(busy, through: "2016-10-08T00:01:00Z")
            let known = moment.microseconds
            let notice = KnowledgeNotice(knownAt: moment, instruments: [busy.instrumentID])
            await replica.streams.hear(.notification(channel: KnowledgeNotice.channel, payload: notice.payload))
            let bar = try #require(await listener.next())
            #expect(bar.label == "bar 1m:\(busy.symbol) 00:00" && bar.place == nil)
            await replica.streams.round()
            let mark = try #require(await listener.next())
            #expect(mark.name == "mark" && mark.place == known)
            await listener.finish()
            await replica.stop()
        }
    }

    @Test func oneReadServesAllWhoListen() async throws {
        try await withStreamWorld(minutes: 30) { world in
            let replay = try await world.replay(start: "2016-10-08T00:00:00Z")
            let reads = GatedCache()
            reads.open()
            let replica = try await world.replica(results: reads)
            var listeners: [EventListener] = []
            for _ in 0..<20 { listeners.append(try await replica.listen(["1m:\(replay.symbol)"])) }
            for listener in listeners { _ = await listener.events { $0.place != nil } }
            let before = reads.lookups
            for minute in 1...3 {
                let known = try await world.release(replay, through: "2016-10-08T00:0\(minute):00Z").microseconds
                for listener in listeners {
                    #expect(await listener.events { $0.place == known }.map(\.label) == ["bar 1m:\(replay.symbol) 00:0\(minute - 1)"])
                }
            }
            #expect(reads.lookups - before == 3)
            for listener in listeners { await listener.finish() }
            await replica.stop()
        }
    }

    // MARK: Faults

    @Test func whatBecameKnownWhileTheDatabaseWasAwayIsTold() async throws {
        try await withStreamWorld(minutes: 30) { world in
            let replay = try await world.replay(start: "2016-10-08T00:00:00Z")
            let replica = try await world.replica()
            let listener = try await replica.listen(["1m:\(replay.symbol)"])
            _ = await listener.events { $0.place != nil }
            for minute in 1...3 {
                let cut = try await world.cutListeners()
                #expect(cut == 1)
                let known = try await world.release(replay, through: "2016-10-08T00:0\(minute):00Z").microseconds
                let event = try #require(await listener.events { $0.place != nil }.last)
                #expect(event.label == "bar 1m:\(replay.symbol) 00:0\(minute - 1)" && (event.place ?? 0) >= known)
                try await eventually("it listens again") { await replica.streams.timesConnected == minute + 1 }
            }
            await listener.finish()
            await replica.stop()
        }
    }

    @Test func aCredentialThatEndsClosesTheStream() async throws {
        try await withStreamWorld(minutes: 5) { world in
            let replica = try await world.replica()
            let session = SessionID.make()
            let token = try world.credentials.token(account: .make(), roles: ["subscriber"]) { $0.sessionID = session }
            let person = try await replica.listen(["1m:BTCUSD"], credential: ("Authorization", "Bearer \(token)"))
            let key = world.credentials.apiKeys.make(roles: ["subscriber"], scopes: ["bars:read"])
            let program = try await replica.listen(["1m:BTCUSD"], credential: ("X-API-Key", key.text))
            let guest = try await briefGuest(of: replica, in: world)
            for listener in [person, program, guest] { _ = await listener.events { $0.place != nil } }
            await replica.streams.checkCredentials()
            world.credentials.denied.revoke(session: session, until: .now() + .seconds(900))
            await replica.streams.checkCredentials()
            #expect(await person.next() == nil)
            #expect(await person.comments.last == "this session has ended")
            world.credentials.apiKeys.forget(key)
            await replica.streams.checkCredentials()
            #expect(await program.next() == nil)
            #expect(await program.comments.last == "this key has ended")
            #expect(await guest.next() == nil)
            for listener in [person, program, guest] { await listener.finish() }
            await replica.stop()
        }
    }

    /// Listens with a token that ends by itself soon, but not before it has been looked at: where that takes long, with one that lasts longer.
    private func briefGuest(of replica: StreamReplica, in world: StreamWorld) async throws -> EventListener {
        for lifetime in [3, 6, 12] as [Int64] {
            let brief = try world.credentials.token(account: .make(), roles: ["subscriber"]) { $0.expiresAt = Timestamp.now().seconds + lifetime }
            if let guest = try? await replica.listen(["1m:BTCUSD"], credential: ("Authorization", "Bearer \(brief)")) { return guest }
        }
        throw TestSupportError("no token was looked at before its end")
    }

    // MARK: Refusals

    @Test func whatCannotBeFollowedIsRefused() async throws {
        try await withStreamWorld(minutes: 5) { world in
            let replica = try await world.replica()
            let client = RequestClient(baseURL: "http://127.0.0.1:\(replica.port)")
            let reader = client.with(header: "Authorization", "Bearer \(try world.credentials.token(account: .make(), roles: ["subscriber"]))")
            func refused(_ query: String, by client: RequestClient? = nil, headers: [(String, String)] = []) async throws -> String {
                let answer = try await (client ?? reader).get("/api/stream/bars\(query)", headers: headers)
                return "\(answer.verdict) \(answer.problemField ?? "-")"
            }
            #expect(try await refused("?topic=1m:BTCUSD", by: client) == "401 unauthorized -")
            let other = world.credentials.apiKeys.make(roles: ["subscriber"], scopes: ["predictions:read"])
            #expect(try await refused("?topic=1m:BTCUSD", by: client.with(header: "X-API-Key", other.text)) == "403 insufficient_scope -")
            #expect(try await refused("") == "400 missing_parameter topic")
            #expect(try await refused("?topic=1m:NOBODY") == "404 unknown_instrument topic")
            #expect(try await refused("?topic=1m:NO%20BODY") == "404 unknown_instrument topic")
            #expect(try await refused("?topic=1m:BTCUSD@replay-9") == "404 unknown_instrument topic")
            #expect(try await refused("?topic=7s:BTCUSD") == "400 interval_not_available topic")
            for bad in ["BTCUSD", "BTCUSD:1m", "0m:BTCUSD", "1x:BTCUSD", ":BTCUSD", "%F0%9F%90%82:BTCUSD"] {
                #expect(try await refused("?topic=\(bad)") == "400 invalid_topic topic", "\(bad)")
            }
            #expect(try await refused("?topic=1m:") == "404 unknown_instrument topic")
            #expect(try await refused("?topic=1m:BTCUSD&topics=5m:BTCUSD") == "400 unknown_parameter topics")
            #expect(try await refused("?topic=1m:BTCUSD&after=yesterday") == "400 invalid_parameter after")
            #expect(
                try await refused("?topic=1m:BTCUSD", headers: [("Last-Event-ID", "9223372036854775807")]) == "400 invalid_parameter Last-Event-ID"
            )
            let many = (1...65).map { "topic=\($0)m:BTCUSD" }
            #expect(try await refused("?" + many.joined(separator: "&")) == "400 too_many_topics topic")
            let listener = try await replica.listen((1...64).map { "\($0)m:BTCUSD" })
            let beginning = await listener.events { $0.place != nil }
            #expect(Set(beginning.compactMap { $0["topic"] }).count >= 5)
            await listener.finish()
            await replica.stop()
        }
    }

    @Test func aFullReplicaSaysSo() async throws {
        try await withStreamWorld(minutes: 5) { world in
            var settings = StreamSettings()
            settings.topics = 1
            let replica = try await world.replica(settings: settings)
            let listener = try await replica.listen(["1m:BTCUSD"])
            let client = RequestClient(baseURL: "http://127.0.0.1:\(replica.port)")
                .with(header: "Authorization", "Bearer \(try world.credentials.token(account: .make(), roles: ["subscriber"]))")
            let answer = try await client.get("/api/stream/bars?topic=2m:BTCUSD")
            #expect(answer.verdict == "429 too_many_topics" && answer.headers["retry-after"] == "5")
            await listener.finish()
            await replica.stop()
        }
    }
}

/// A database with minutes of BTCUSD, and as many replicas over it as a test wants.
private struct StreamWorld: Sendable {
    let database: TestDatabase
    let pool: PostgresPool
    let store: PostgresMarketdataStore
    let bench: Bench
    let credentials: TestCredentials

    /// A replay that only the test releases.
    func replay(start: String) async throws -> Replay {
        let wish = Replays.Wish(symbol: "BTCUSD", start: at(start), end: nil, intervalSeconds: nil, speed: 1, loops: false)
        let replays = Replays(store: store, reader: bench.reader, time: SystemTimeSource(), feed: nil)
        let replay = try await store.createReplay(try await replays.draft(wish, account: .make()), within: ReplayLimits())
        _ = try await store.claimReplays(runner: "test", leaseSeconds: 600)
        return replay
    }

    /// Releases everything up to a recorded time; gives when it became known.
    func release(_ replay: Replay, through: String) async throws -> Timestamp {
        let from = try #require(try await store.replay(id: replay.id)).releasedThrough
        return try #require(
            try await store.release(ReplayStep(replayID: replay.id, from: from, through: at(through), bars: 1, closes: []), runner: "test")
        )
    }

    /// The columns of `/api/bars`.
    func bars(_ symbol: String, _ interval: String, from start: String) async throws -> [String: [String?]] {
        var request = BarRequest(symbol: symbol, interval: try BarInterval(text: interval))
        request.start = at(start)
        let answer = try await bench.reader.read(request).response(.json)
        let columns = try WireJSON.parse(answer.bodyBytes)["bars"]
        var found: [String: [String?]] = [:]
        for name in ["start", "end", "open", "high", "low", "close", "volume"] { found[name] = columns?[name]?.array?.map(\.string) }
        return found
    }

    /// Ends the sessions that listen; gives how many there were.
    func cutListeners() async throws -> Int {
        try await asSuperuser { admin in
            try await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \(database.name) AND query LIKE 'LISTEN%'")
                .count
        }
    }

    private func asSuperuser<Value: Sendable>(_ body: (PostgresConnection) async throws -> Value) async throws -> Value {
        let admin = try await PostgresConnection.connect(database.superuser, on: TestLoop.shared)
        let value = try await body(admin)
        await admin.close()
        return value
    }

    /// A replica of its own: loops, pool, reader, server. One that is not `hearing` misses every notice.
    func replica(
        maximumBars: Int = 5_000,
        settings: StreamSettings = StreamSettings(),
        results: any ResultCache = NoResultCache(),
        hearing: Bool = true
    ) async throws -> StreamReplica {
        let replica = try await StreamReplica(self, maximumBars: maximumBars, settings: settings, results: results)
        if hearing {
            try await replica.streams.start()
            try await eventually("it listens") { await replica.streams.timesConnected == 1 }
        }
        return replica
    }
}

private struct StreamReplica: Sendable {
    let streams: BarStreams
    let server: HTTPServer
    let port: Int
    private let world: StreamWorld
    private let loops: [EventLoop]
    private let pool: PostgresPool
    private let cpu: CPUPool

    init(_ world: StreamWorld, maximumBars: Int, settings: StreamSettings, results: any ResultCache) async throws {
        self.world = world
        loops = [try EventLoop.start(name: "replica-0"), try EventLoop.start(name: "replica-1")]
        pool = PostgresPool(configuration: world.database.configuration(), loops: loops)
        try await pool.start()
        cpu = try CPUPool(threads: 1)
        let time = SystemTimeSource()
        let store = PostgresMarketdataStore(pool: pool, outbox: Outbox(schema: "marketdata"), cpu: cpu)
        let reader = BarReader(store: store, calendars: Calendars(store: store, time: time), results: results, cpu: cpu, time: time)
        streams = BarStreams(
            topics: TopicReader(store: store, reader: reader, knowledge: KnowledgeStore(pool: pool), maximumBars: maximumBars),
            admission: StreamAdmission(keys: world.credentials.apiKeys, denied: world.credentials.denied, time: time),
            loop: loops[0],
            time: time,
            settings: settings
        )
        var router = Router(problemOf: MarketdataRoutes.problem)
        StreamRoutes(streams: streams).add(
            to: &router,
            authentication: UserAuthentication(tokens: world.credentials.accessTokens(), apiKeys: world.credentials.apiKeys)
        )
        server = HTTPServer(name: "replica", address: "127.0.0.1", port: 0, router: router, loops: loops, limits: HTTPLimits(accessLog: false))
        try await server.start()
        port = server.boundPort
    }

    func listen(_ topics: [String], credential: (String, String)? = nil, lastEventID: Int64? = nil) async throws -> EventListener {
        let path = "/api/stream/bars?" + topics.map { "topic=\($0)" }.joined(separator: "&")
        let token = try world.credentials.token(account: .make(), roles: ["subscriber"])
        let headers = [credential ?? ("Authorization", "Bearer \(token)")]
        return try await .open(port: port, path: path, headers: headers, lastEventID: lastEventID.map(String.init))
    }

    func stop() async {
        await server.stop()
        await streams.stop()
        await pool.stop()
        cpu.stop()
        for loop in loops { await loop.stop() }
    }
}

extension EventListener.Event {
    /// Name, topic and start: what tells events of bars apart.
    fileprivate var label: String {
        [name, self["topic"], self["start"].map { String($0.dropFirst(11).prefix(5)) }].compactMap { $0 }.joined(separator: " ")
    }
}

private func withStreamWorld(minutes count: Int, skipping: Set<Int> = [], _ body: (StreamWorld) async throws -> Void) async throws {
    try await withDatabase(service: "marketdata", catalogue: try Migrations.catalogue()) { database in
        try await database.withPool { pool in
            let cpu = try CPUPool(threads: 1)
            defer { cpu.stop() }
            let store = PostgresMarketdataStore(pool: pool, outbox: Outbox(schema: "marketdata"), cpu: cpu)
            let world = StreamWorld(database: database, pool: pool, store: store, bench: try Bench(store), credentials: try TestCredentials())
            try await world.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: count, skipping: skipping), as: "BTCUSD.csv")
            try await body(world)
        }
    }
}
