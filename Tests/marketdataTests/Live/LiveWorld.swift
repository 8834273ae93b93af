import Bars
import Contracts
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// A coin whose seconds its source builds.
struct LiveWorld: Sendable {
    let bench: Bench
    let store: PostgresMarketdataStore
    let pool: PostgresPool
    let live: LiveStore
    let seals: LiveSeals
    let superuser: PostgresConnection
    let btc: InstrumentID

    func record(_ rows: [LiveClose], announcements: [LiveAnnouncement] = []) async throws -> Timestamp {
        try #require(try await live.record(LiveStep(closes: rows, announcements: announcements), feed: "a", runner: "one"))
    }

    func sealAll() async throws { for part in try await seals.unsealed() { _ = try await seals.seal(part) } }

    func count(_ what: SQL) async throws -> Int { try #require(try await superuser.query("SELECT count(*) FROM \(what)").first).column(0) }

    func answer(_ interval: String, _ change: (inout BarRequest) -> Void = { _ in }) async throws -> BarAnswer {
        var request = BarRequest(symbol: "BTCUSD", interval: try BarInterval(text: interval))
        request.countback = 2_000
        change(&request)
        return try await bench.reader.read(request)
    }

    /// Everything that an answer says.
    func text(_ interval: String, asOf moment: Timestamp?) async throws -> String {
        let answer = try await answer(interval) { $0.asOf = moment }
        return lines(answer.bars).joined(separator: "\n") + "\n\(answer.dataSHA256.hex) \(answer.revision)"
    }

    static let noon = at("2026-03-02T12:00:00Z").microseconds

    /// A row of an interval that begins so many seconds after noon; without a price a marker.
    func row(_ second: Int, version: Int = 0, price: Int?, seconds: Int = 1, origin: SeriesOrigin = .imported) -> LiveClose {
        let prices = price.map { price in
            LivePrices(
                open: .exact(mantissa: Int64(price), scale: 0),
                high: .exact(mantissa: Int64(price) * 100 + 75, scale: 2),
                low: .exact(mantissa: Int64(price) * 10 - 5, scale: 1),
                close: .exact(mantissa: Int64(price) * 100 + 25, scale: 2),
                volume: .exact(mantissa: Int64(price), scale: 8),
                trades: nil
            )
        }
        let start = Self.noon + Int64(second) * 1_000_000
        return LiveClose(
            instrumentID: btc,
            series: SeriesKey(intervalSeconds: seconds, side: .trade, origin: origin),
            start: start,
            end: start + Int64(seconds) * 1_000_000,
            version: version,
            prices: prices
        )
    }
}

/// Lends one in a database of its own, its feed claimed.
func withLiveWorld(_ body: (LiveWorld) async throws -> Void) async throws {
    try await withPostgresStore { store, pool, superuser in
        try await store.create(coin("BTCUSD"))
        let btc = try #require(try await store.instrument(symbol: "BTCUSD")).id
        let live = LiveStore(pool: pool, outbox: store.outbox)
        #expect(try await live.claim(feed: "a", runner: "one", leaseSeconds: 600))
        try await body(
            LiveWorld(
                bench: try Bench(store, results: CountingCache()),
                store: store,
                pool: pool,
                live: live,
                seals: LiveSeals(pool: pool, cpu: store.cpu),
                superuser: superuser,
                btc: btc
            )
        )
    }
}

private func lines(_ bars: BarSeries) -> [String] {
    (0..<bars.count).map { row in
        let columns = [bars.open, bars.high, bars.low, bars.close].map { $0.text(at: row) ?? "-" }
        return "\(bars.starts[row]) \(bars.ends[row]) \(columns.joined(separator: " ")) \(bars.volume?.text(at: row) ?? "-")"
    }
}
