import Bars
import Contracts
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// A clock that shows what a test sets, on which nobody waits for long: a pause passes in a fraction of its time, so that loops go round.
final class LiveTime: TimeSource {
    private let state: Mutex<(wall: Timestamp, monotonic: UInt64)>

    init(_ start: String) { state = Mutex((at(start), 1_000_000_000)) }

    private let looks = Mutex(0)

    func now() -> Timestamp { state.withLock { $0.wall } }

    func monotonicNanoseconds() -> UInt64 {
        looks.withLock { $0 += 1 }
        return state.withLock { $0.monotonic }
    }

    /// Waits until those who live by it have looked at it anew, several times each.
    func seen() async throws {
        let before = looks.withLock { $0 }
        try await eventually("somebody looks at the clock") { looks.withLock { $0 } >= before + 20 }
    }

    /// Time passes.
    func advance(_ seconds: Double) {
        state.withLock { state in
            state.wall += .microseconds(Int64(seconds * 1e6))
            state.monotonic += UInt64(seconds * 1e9)
        }
    }

    /// Somebody sets the wall clock.
    func set(by seconds: Double) { state.withLock { $0.wall += .microseconds(Int64(seconds * 1e6)) } }

    func sleep(for duration: Duration) async throws {
        // What is meant as a limit stays one.
        try await Task.sleep(for: duration >= .seconds(10) ? duration : max(.milliseconds(1), duration / 50))
    }
}

/// A stream that tells what a test says.
final class ScriptedStream: SourceStream {
    let events = SourceEvents()
    let heartbeat: Duration?
    let kind: StreamKind
    let watched = TestSignal<String>()
    let unwatched = TestSignal<String>()
    let began = TestSignal<Void>()
    private let time: any TimeSource

    init(_ kind: StreamKind, heartbeat: Duration?, time: any TimeSource) {
        self.kind = kind
        self.heartbeat = heartbeat
        self.time = time
    }

    func watch(_ symbol: String) async throws {
        if symbol == "NEVER" { throw SourceError.notSupported("that symbol") }
        watched.signal(symbol)
    }

    func unwatch(_ symbol: String) async { unwatched.signal(symbol) }

    func run() async {
        began.signal()
        // Until its task is cancelled: nobody signals.
        _ = try? await TestSignal<Void>().next(timeout: .seconds(3600))
        events.finish()
    }

    func tell(_ event: SourceEvent) { events.push(event, now: time.now()) }
}

/// A source that answers as a test says.
final class ScriptedSource: StreamingSource {
    typealias Answer = @Sendable (HistoryRequest) async throws -> ImportedFile?

    let description = SourceDescription(
        id: "scripted",
        name: "A script",
        licence: "none",
        assetClasses: [.crypto],
        intervals: ["tick"],
        streams: true,
        limits: SourceDescription.Limits()
    )
    let streams = TestSignal<ScriptedStream>()
    let asked = TestSignal<HistoryRequest>()
    private let heartbeat: Duration?
    private let time: any TimeSource
    private let answer = Mutex<Answer> { _ in nil }

    init(heartbeat: Duration?, time: any TimeSource) {
        self.heartbeat = heartbeat
        self.time = time
    }

    func reply(_ answer: @escaping Answer) { self.answer.withLock { $0 = answer } }

    func health() async -> SourceHealth { SourceHealth(state: .healthy, detail: "") }

    func history(_ request: HistoryRequest) async throws -> ImportedFile? {
        asked.signal(request)
        return try await answer.withLock { $0 }(request)
    }

    func stream(_ kind: StreamKind) throws -> any SourceStream {
        if case .bars(6) = kind { throw SourceError.notSupported("bars of 6 s") }
        let stream = ScriptedStream(kind, heartbeat: heartbeat, time: time)
        streams.signal(stream)
        return stream
    }
}

/// A feed over a scripted source and a real database.
struct LiveBench: Sendable {
    let store: PostgresMarketdataStore
    let pool: PostgresPool
    /// May do what the service may not.
    let superuser: PostgresConnection
    let bench: Bench
    let live: LiveStore
    let subscriptions: LiveSubscriptionStore
    let time: LiveTime
    let source: ScriptedSource

    /// Lends one with the coin BTCUSD, on a Monday at noon.
    static func with(heartbeat: Duration? = .seconds(1), _ body: (LiveBench) async throws -> Void) async throws {
        try await withPostgresStore { store, pool, superuser in
            let time = LiveTime("2024-03-04T12:00:00Z")
            let bench = LiveBench(
                store: store,
                pool: pool,
                superuser: superuser,
                bench: try Bench(store),
                live: LiveStore(pool: pool, outbox: store.outbox),
                subscriptions: LiveSubscriptionStore(pool: pool),
                time: time,
                source: ScriptedSource(heartbeat: heartbeat, time: time)
            )
            try await store.create(coin("BTCUSD"))
            try await body(bench)
        }
    }

    func id(_ symbol: String = "BTCUSD") async throws -> InstrumentID { try #require(try await store.instrument(symbol: symbol)).id }

    /// Subscribes an instrument, which the source spells with a hash.
    @discardableResult
    func subscribe(_ symbol: String = "BTCUSD", bars: Int? = nil) async throws -> LiveSubscription {
        guard case .done(let made) = try await subscriptions.put(id(symbol), source: "scripted", symbol: "#" + symbol, barSeconds: bars) else {
            throw TestSupportError("\(symbol) could not be subscribed")
        }
        return made
    }

    func watch(_ intervals: Int..., of symbols: [String] = ["BTCUSD"]) async throws {
        let watches = symbols.flatMap { symbol in intervals.map { Watch(symbol: symbol, intervalSeconds: $0) } }
        _ = try await store.replaceWatches(of: "scheduler", with: watches)
    }

    func parts(reader: BarReader? = nil, source: (any StreamingSource)? = nil) -> LiveSession.Parts {
        LiveSession.Parts(
            source: source ?? self.source,
            store: store,
            live: live,
            subscriptions: subscriptions,
            reader: reader ?? bench.reader,
            calendars: bench.calendars,
            time: time
        )
    }

    /// Runs a feed meanwhile.
    func running<Value>(_ parts: LiveSession.Parts? = nil, _ body: (ScriptedStream) async throws -> Value) async throws -> Value {
        let feed = LiveFeed(parts ?? self.parts(), loop: TestLoop.shared)
        try await feed.start()
        do {
            let stream = try await source.streams.next()
            _ = try await stream.watched.next()
            let value = try await body(stream)
            await feed.stop()
            return value
        } catch {
            await feed.stop()
            throw error
        }
    }

    /// Says that streams are up, and waits until the feed has begun with all that is subscribed.
    func up(_ streams: ScriptedStream...) async throws {
        for stream in streams { stream.tell(.live) }
        try await eventually("all is live") { try await subscriptions.all(of: "scripted").allSatisfy { $0.state == .live } }
    }

    /// Says that a stream is down, and waits until the feed knows.
    func down(_ stream: ScriptedStream, since clock: String, _ reason: String = "gone") async throws {
        stream.tell(.hole(since: at("2024-03-04T\(clock)Z"), .disconnected(reason)))
        try await eventually("something is away") { try await subscriptions.all(of: "scripted").contains { $0.state == .away } }
    }

    /// Lets time pass by steps of a quarter of a second, the source telling its clock.
    func pass(_ seconds: Double, _ streams: ScriptedStream...) {
        for _ in 0..<Int(seconds * 4) {
            time.advance(0.25)
            for stream in streams { stream.tell(.clock(time.now())) }
        }
    }

    /// A trade at a moment of the hour.
    func trade(_ clock: String, _ price: String, size: String = "1", total: String? = nil, symbol: String = "BTCUSD") throws -> SourceEvent {
        .trade(
            SourceTrade(
                symbol: "#" + symbol,
                time: at("2024-03-04T\(clock)Z"),
                price: try #require(DecimalNumber(price)),
                size: try #require(DecimalNumber(size)),
                qualifies: true,
                totalVolume: total.flatMap { DecimalNumber($0) }
            )
        )
    }

    /// The recorded rows in the order in which they became known: `12:00:04 v0 100 101 99 100` or `12:00:09 v0 -`, by their ends.
    func rows(_ symbol: String = "BTCUSD") async throws -> [String] {
        try await pool.query(
            """
            SELECT ends_at, version, open::text, high::text, low::text, close::text FROM tail_bars WHERE instrument_id = \(try await id(symbol))
            ORDER BY known_at, ends_at, version
            """
        ).map { row in
            let (end, version) = try (row.column(0, as: Timestamp.self), row.column(1, as: Int.self))
            let prices = try (2..<6).compactMap { try row.column($0, as: String?.self) }
            return "\(end.iso8601.dropFirst(11).prefix(8)) v\(version) " + (prices.isEmpty ? "-" : prices.joined(separator: " "))
        }
    }

    /// Waits until these are the rows; a wrong one ends the waiting.
    func recorded(_ expected: [String], _ symbol: String = "BTCUSD") async throws {
        var found: [String] = []
        try? await eventually {
            found = try await rows(symbol)
            return found.count >= expected.count
        }
        #expect(found == expected)
    }

    /// What was announced: `5s@12:00:05: BTCUSD`.
    func announced() async throws -> [String] {
        try await closes().map { event in
            let bars = event.bars.map { "\($0.symbol)\($0.bar == nil ? " null" : "")" }.joined(separator: ", ")
            return "\(event.intervalSeconds)s@\(event.closeAt.iso8601.dropFirst(11).prefix(8)): \(bars)"
        }
    }

    func closes() async throws -> [BarsClosed] {
        try await pool.query("SELECT envelope FROM outbox WHERE type = \(BarsClosed.eventType) ORDER BY id").map { row in
            try Envelope(decoding: try row.column(0, as: [UInt8].self)).body(as: BarsClosed.self)
        }
    }

    func announced(_ expected: [String]) async throws {
        var found: [String] = []
        try? await eventually {
            found = try await announced()
            return found.count >= expected.count
        }
        #expect(found == expected)
    }

    /// What was missed: `12:00:03-12:00:12 lost`.
    func holes() async throws -> [String] {
        try await pool.query("SELECT starts_at, ends_at, state FROM live_holes ORDER BY opened_at, id").map { row in
            let (from, to, state) = try row.decode(Timestamp.self, Timestamp.self, String.self)
            return "\(from.iso8601.dropFirst(11).prefix(8))-\(to.iso8601.dropFirst(11).prefix(8)) \(state)"
        }
    }

    func holes(are expected: [String]) async throws {
        var found: [String] = []
        try? await eventually {
            found = try await holes()
            return found == expected
        }
        #expect(found == expected)
    }

    /// Seconds of history, each with its price.
    func history(_ rows: [(clock: String, price: String)], side: PriceSide = .trade) throws -> ImportedFile {
        var builder = BarSeriesBuilder()
        for (clock, text) in rows {
            let start = at("2024-03-04T\(clock)Z").microseconds
            let price = try #require(DecimalNumber(text))
            builder.append(start: start, end: start + 1_000_000, open: price, high: price, low: price, close: price, volume: nil)
        }
        let bars = try builder.finish()
        let coverage = (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
        return ImportedFile(
            layout: .csvTrades,
            symbol: "BTCUSD",
            assetClass: .crypto,
            calendar: CalendarCatalogue.alwaysOpen,
            series: [ImportedSeries(intervalSeconds: 1, side: side, origin: .derived, bars: bars, coverage: coverage)],
            rows: bars.count,
            problems: RowProblems(),
            notes: []
        )
    }
}
