import Bars
import Contracts
import FoundationEssentials
import Postgres
import Redis
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// The vendor's simulator, a store, and as many replicas as a test likes.
struct AcquisitionBench: Sendable {
    let simulator: IQFeedSimulator
    let store: PostgresMarketdataStore
    let pool: PostgresPool
    let superuser: PostgresConnection
    let rules: KeepStore
    /// Of the gates in Redis.
    let prefix: String
    private let started = Started()

    /// What has to be stopped at the end.
    private actor Started {
        private var stops: [@Sendable () async -> Void] = []
        func add(_ stop: @escaping @Sendable () async -> Void) { stops.append(stop) }
        func stopAll() async { for stop in stops.reversed() { await stop() } }
    }

    static func with(_ body: (AcquisitionBench) async throws -> Void) async throws {
        try await withPostgresStore { store, pool, superuser in
            let simulator = try await IQFeedSimulator.start(on: TestLoop.shared)
            let bench = AcquisitionBench(
                simulator: simulator,
                store: store,
                pool: pool,
                superuser: superuser,
                rules: KeepStore(pool: pool),
                prefix: "test:\(UUID().uuidString.lowercased()):fetch:"
            )
            do { try await body(bench) } catch {
                await bench.started.stopAll()
                await simulator.stop()
                throw error
            }
            await bench.started.stopAll()
            await simulator.stop()
        }
    }

    /// One replica: what fetches, what keeps, what answers.
    struct Replica: Sendable {
        let bench: Bench
        let fetches: Fetches
        let keeper: Keeper
        let first: FetchFirst
        let redis: RedisClient
        let catalogue: SourceCatalogue

        /// The closes that somebody reads, and why they may not be all.
        func read(_ symbol: String = "NEPT", _ interval: String = "1m", from: String, to: String) async throws -> (closes: [String], lacking: String?)
        {
            var request = BarRequest(symbol: symbol, interval: try BarInterval(text: interval))
            request.start = at(from)
            request.end = at(to)
            request.limit = 50_000
            let lacking = try await first.prepare(request)
            let bars = try await bench.reader.read(request).bars
            return ((0..<bars.count).map { bars.close.text(at: $0) ?? "-" }, lacking)
        }

        /// March 2021 of NEPT by the minute.
        func readMarch() async throws -> (closes: [String], lacking: String?) {
            try await read(from: "2021-03-01T00:00:00Z", to: "2021-04-01T00:00:00Z")
        }
    }

    func replica(
        redisURL: String = TestServers.redisURL,
        patience: Duration = .seconds(60),
        gateLifetime: Duration = .seconds(5),
        isConfigured: Bool = true,
        asking other: (any Source)? = nil,
        time: any TimeSource = SystemTimeSource()
    ) async throws -> Replica {
        let bench = try Bench(store)
        let redis = try RedisClient(url: redisURL, loops: [TestLoop.shared], role: .cache, commandTimeout: .seconds(60))
        try await redis.start()
        await started.add { await redis.stop() }
        var endpoints = IQFeedEndpoints()
        endpoints.ports = [.lookup: simulator.number(of: .lookup)]
        let connector = IQFeedConnector(endpoints: endpoints, loop: TestLoop.shared, time: SystemTimeSource())
        let lookup = IQFeedLookup(connector: connector, backoff: Backoff(first: .milliseconds(5), longest: .milliseconds(20)))
        let source = try IQFeedSource(connector: connector, lookup: lookup, cpu: bench.cpu)
        await started.add { await source.stop() }
        let catalogue = SourceCatalogue(entries: [other.map { .configured($0) } ?? IQFeedSettings.entry(isConfigured ? source : nil)])
        var lock = FetchLock(redis: redis, session: LockSession(configuration: pool.configuration, loop: TestLoop.shared), time: SystemTimeSource())
        lock.prefix = prefix
        lock.lifetime = gateLifetime
        lock.pause = .milliseconds(10)
        let fetches = Fetches(
            sources: catalogue,
            store: rules,
            importer: bench.importer,
            calendars: bench.calendars,
            lock: lock,
            time: time,
            loop: TestLoop.shared
        )
        try await fetches.start()
        await started.add { await fetches.stop() }
        return Replica(
            bench: bench,
            fetches: fetches,
            keeper: Keeper(store: rules, fetches: fetches, time: time, loop: TestLoop.shared),
            first: FetchFirst(fetches: fetches, calendars: bench.calendars, time: time, patience: patience),
            redis: redis,
            catalogue: catalogue
        )
    }

    /// A rule for NEPT, which is made where it is new; due at once.
    @discardableResult
    func rule(_ kind: String = "1m", from: Timestamp = at("2021-01-01T00:00:00Z"), everySeconds: Int = 3_600) async throws -> KeepRule {
        let kind = try #require(HistoryRequest.Kind(text: kind))
        if try await store.instrument(symbol: "NEPT") == nil {
            var instrument = coin("NEPT")
            instrument.assetClass = .equity
            instrument.calendar = "us-equity"
            instrument.timeZone = "America/New_York"
            try await store.create(instrument)
        }
        let instrument = try #require(try await store.instrument(symbol: "NEPT"))
        let now = Timestamp.now() - .seconds(1)
        let rule = KeepRule(
            id: .make(),
            instrumentID: instrument.id,
            symbol: "NEPT",
            calendar: instrument.calendar,
            assetClass: instrument.assetClass,
            source: "iqfeed",
            sourceSymbol: "NEPT",
            kind: kind,
            everySeconds: everySeconds,
            backfillFrom: from,
            isEnabled: true,
            nextDueAt: now,
            createdAt: now,
            changedAt: now
        )
        try await pool.withTransaction { try await rules.create(rule, on: $0) }
        return rule
    }

    /// How often the vendor was asked since the last time.
    func requests() async throws -> Int {
        let count = simulator.requested.pendingCount
        for _ in 0..<count { _ = try await simulator.requested.next() }
        return count
    }

    func count(_ what: SQL) async throws -> Int { try #require(try await superuser.query("SELECT count(*) FROM \(what)").first).column(0) }
}

/// A source that answers as a test says.
struct AnsweringSource: Source {
    let answer: @Sendable (HistoryRequest) throws -> ImportedFile?

    var description: SourceDescription { IQFeedSource.description(requestsPerSecond: 1, sockets: 1) }
    func health() async -> SourceHealth { SourceHealth(state: .healthy, detail: "") }
    func history(_ request: HistoryRequest) async throws -> ImportedFile? { try answer(request) }
}

/// The vendor's minutes: five from 09:30 in New York on each weekday of the days that a request names, none after `last`.
func iqfeedMinutes(_ request: IQFeedSimulator.Request, last: CivilDay = CivilDay(year: 2_100, month: 1, day: 1)) -> IQFeedSimulator.Reply {
    guard request.fields.count > 3, let from = iqfeedDay(request.fields[2]), let to = iqfeedDay(request.fields[3]) else { return .syntaxError }
    var text = ""
    var day = from
    while day <= min(to, last) {
        if day.weekday < 5 {
            for minute in 30..<35 {
                let price = 100 + day.number % 50 + minute
                text += "\(day.text) 09:\(minute):00,\(price).50,\(price).00,\(price).25,\(price).40,\(1_000 + minute),\(10 + minute),0,\r\n"
            }
        }
        day = day + 1
    }
    return text.isEmpty ? .noData : .answer(Array((text + "!ENDMSG!,\r\n").utf8))
}

/// The same, held until the test lets it go.
func heldMinutes(_ request: IQFeedSimulator.Request) -> IQFeedSimulator.Reply {
    if case .answer(let bytes) = iqfeedMinutes(request) { return .held(bytes) }
    return .noData
}

private func iqfeedDay(_ field: String) -> CivilDay? {
    let digits = Array(field.prefix(8))
    guard digits.count == 8 else { return nil }
    return CivilDay(text: String(digits[0..<4]) + "-" + String(digits[4..<6]) + "-" + String(digits[6..<8]))
}
