import Bars
import Contracts
import FoundationEssentials
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// The stores that have to behave alike.
enum StoreKind: String, CaseIterable, Sendable {
    case memory, postgres
}

/// Lends a fresh store; the one in Postgres is skipped where there is no server.
func withStore(_ kind: StoreKind, time: any TimeSource = SystemTimeSource(), _ body: (any MarketdataStore) async throws -> Void) async throws {
    switch kind {
    case .memory: try await body(MemoryMarketdataStore(time: time))
    case .postgres: try await withPostgresStore { store, _ in try await body(store) }
    }
}

/// Lends a store in a database of its own, and the pool beneath it.
func withPostgresStore(_ body: (PostgresMarketdataStore, PostgresPool) async throws -> Void) async throws {
    try await withPostgresStore { store, pool, _ in try await body(store, pool) }
}

/// The same with a connection that may do what the service may not.
func withPostgresStore(_ body: (PostgresMarketdataStore, PostgresPool, PostgresConnection) async throws -> Void) async throws {
    try await withDatabase(service: "marketdata", catalogue: try Migrations.catalogue()) { database in
        try await database.withPool { pool in
            let cpu = try CPUPool(threads: 1)
            defer { cpu.stop() }
            let superuser = try await PostgresConnection.connect(
                database.superuser,
                on: TestLoop.shared
            )
            try await superuser.execute("SET session_replication_role = replica")
            let store = PostgresMarketdataStore(pool: pool, outbox: Outbox(schema: "marketdata"), cpu: cpu)
            do { try await body(store, pool, superuser) } catch {
                await superuser.close()
                throw error
            }
            await superuser.close()
        }
    }
}

/// What stands on a store.
struct Bench: Sendable {
    let store: any MarketdataStore
    let reader: BarReader
    let importer: Importer
    let calendars: Calendars
    let quality: QualityReader
    let cpu: CPUPool

    init(
        _ store: any MarketdataStore,
        time: any TimeSource = SystemTimeSource(),
        results: any ResultCache = NoResultCache(),
        chunkBytes: any ChunkBytesCache = NoChunkBytesCache(),
        limits: ReadLimits = ReadLimits()
    ) throws {
        self.store = store
        cpu = try CPUPool(threads: 1)
        calendars = Calendars(store: store, time: time)
        quality = QualityReader(store: store, calendars: calendars, cpu: cpu, time: time, limits: limits)
        reader = BarReader(
            store: store,
            calendars: calendars,
            results: results,
            chunkBytes: chunkBytes,
            cpu: cpu,
            time: time,
            limits: limits
        )
        importer = Importer(store: store, cpu: cpu, time: time)
    }

    /// Imports text as a file of that name.
    @discardableResult
    func take(_ text: String, as name: String, symbol: String? = nil, assetClass: AssetClass? = nil) async throws -> ImportOutcome {
        try await importer.run(Array(text.utf8), path: name, options: ImportOptions(symbol: symbol, assetClass: assetClass))
    }

    /// The closes that a request gives.
    func closes(_ symbol: String, _ interval: String, _ change: (inout BarRequest) -> Void = { _ in }) async throws -> [String] {
        var request = BarRequest(symbol: symbol, interval: try BarInterval(text: interval))
        request.countback = 500
        change(&request)
        let answer = try await reader.read(request)
        return (0..<answer.bars.count).map { answer.bars.close.text(at: $0) ?? "-" }
    }
}

/// A moment by its text.
func at(_ text: String) -> Timestamp {
    guard let moment = Timestamp(iso8601: text) else { preconditionFailure("\(text) is no time") }
    return moment
}

/// Minutes of a coin: `count` rows from a time on, the close counting up from `first`.
func minutes(from start: String, count: Int, first: Int = 100, skipping: Set<Int> = []) -> String {
    var lines = ["time,open,high,low,close,volume"]
    for index in 0..<count where !skipping.contains(index) {
        let time = (at(start) + .seconds(60 * index)).iso8601.prefix(19)
        let price = first + index
        lines.append("\(time),\(price),\(price).75,\(price - 1).5,\(price).25,0.\(index % 9 + 1)")
    }
    return lines.joined(separator: "\n") + "\n"
}

/// Remembers in memory, and counts.
final class CountingCache: ResultCache {
    private let state = Mutex<(values: [SHA256Digest: [UInt8]], hits: Int)>(([:], 0))

    var hits: Int { state.withLock { $0.hits } }
    var count: Int { state.withLock { $0.values.count } }

    /// Damages everything that is remembered.
    func spoil() { state.withLock { $0.values = $0.values.mapValues { Array($0.dropLast(3)) + [0, 0, 0] } } }

    func value(_ key: SHA256Digest) async -> [UInt8]? {
        state.withLock { state in
            if state.values[key] != nil { state.hits += 1 }
            return state.values[key]
        }
    }

    func store(_ bytes: [UInt8], for key: SHA256Digest) async { state.withLock { $0.values[key] = bytes } }
}

/// A coin that trades around the clock.
func coin(_ symbol: String, id: InstrumentID = .make()) -> Instrument {
    Instrument(
        id: id,
        symbol: symbol,
        assetClass: .crypto,
        calendar: "always-open",
        timeZone: "UTC",
        tickSize: DecimalText("0.01"),
        lotSize: DecimalText("0.00000001"),
        volumeUnit: .base,
        baseIntervalSeconds: nil,
        feed: .live,
        replayOf: nil,
        active: true,
        version: 1,
        createdAt: at("2026-01-01T00:00:00Z")
    )
}

/// Holds everybody up who looks something up until it is opened.
final class GatedCache: ResultCache {
    private let gate = Gate()
    private let count = Mutex(0)

    /// Somebody has asked, and waits for the answer unless it is open.
    var asked: TestSignal<Void> { gate.entered }
    var lookups: Int { count.withLock { $0 } }
    func open() { gate.open() }
    func shut() { gate.shut() }

    func value(_ key: SHA256Digest) async -> [UInt8]? {
        count.withLock { $0 += 1 }
        try? await gate.pass()
        return nil
    }

    func store(_ bytes: [UInt8], for key: SHA256Digest) async {}
}

extension ReplayDraft {
    /// A replay of minutes from the beginning of 2016-10-08 on, at the speed of the clock.
    static func minutes(of source: InstrumentID, account: AccountID = .make()) -> ReplayDraft {
        ReplayDraft(
            id: .make(),
            instrumentID: .make(),
            sourceInstrumentID: source,
            accountID: account,
            baseIntervalSeconds: 60,
            speed: 1,
            loops: false,
            startsAt: at("2016-10-08T00:00:00Z"),
            endsAt: nil,
            revisionsAsOf: nil,
            createdAt: .now()
        )
    }
}
