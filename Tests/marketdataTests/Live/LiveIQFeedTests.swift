import Bars
import Contracts
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// The feed over DTN's protocol, as the simulator speaks it and as it was recorded.
@Suite("Live IQFeed", .serialized, .timeLimit(.minutes(10))) struct LiveIQFeedTests {
    /// A trade as a line of level 1.
    private func line(_ clock: IQFeedClock, _ time: Timestamp, _ price: String, total: Int) -> String {
        let stamp = clock.stamp(time)
        let date = "\(stamp.dropFirst(4).prefix(2))/\(stamp.dropFirst(6).prefix(2))/\(stamp.prefix(4))"
        let hours = stamp.dropFirst(9)
        return "Q,@BTC,\(price),10,\(date),\(hours.prefix(2)):\(hours.dropFirst(2).prefix(2)):\(hours.suffix(2)).250000,\(total),1,1,2,1,C"
    }

    /// `20210326 09:30:00`
    private static func clockText(_ clock: IQFeedClock, _ moment: Timestamp) -> String {
        let stamp = clock.stamp(moment)
        return "\(stamp.dropLast(4)):\(stamp.dropLast(2).suffix(2)):\(stamp.suffix(2))"
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func aFeedThatDiesInTheMiddleOfABarIsRepairedFromHistory() async throws {
        try await LiveBench.with { bench in
            try await withLoop { loop in
                // The connection lives by the machine's clock; the feed by one that is an hour behind it and moves as the test says.
                let begin = Timestamp(seconds: Timestamp.now().seconds / 60 * 60 - 3_600)
                let time = LiveTime(begin.iso8601)
                let simulator = try await IQFeedSimulator.start(on: loop, versions: ["6.2"])
                var endpoints = IQFeedEndpoints()
                endpoints.ports = [.lookup: simulator.number(of: .lookup), .level1: simulator.number(of: .level1)]
                let cpu = try CPUPool(threads: 1)
                defer { cpu.stop() }
                let source = try IQFeedSource(connector: IQFeedConnector(endpoints: endpoints, loop: loop, time: SystemTimeSource()), cpu: cpu)
                let clock = try IQFeedClock()
                simulator.reply { request in
                    guard request.command == "HTT" else { return .noData }
                    let seconds = begin + .seconds(2)
                    let stamp = clock.stamp(seconds)
                    let day = "\(stamp.prefix(4))-\(stamp.dropFirst(4).prefix(2))-\(stamp.dropFirst(6).prefix(2))"
                    let hours = stamp.dropFirst(9)
                    let moment = "\(day) \(hours.prefix(2)):\(hours.dropFirst(2).prefix(2)):\(hours.suffix(2))"
                    let rows = [("250000", "100", "101"), ("500000", "107", "111"), ("750000", "103", "121")]
                    let text = rows.map { "\(moment).\($0.0),\($0.1),10,\($0.2),1,2,7,C,11,01,0,04,\r\n" }.joined()
                    return .answer(Array((text + "!ENDMSG!,\r\n").utf8))
                }
                _ = try await bench.subscriptions.put(bench.id(), source: "iqfeed", symbol: "@BTC", barSeconds: nil)
                let parts = LiveSession.Parts(
                    source: source,
                    store: bench.store,
                    live: bench.live,
                    subscriptions: bench.subscriptions,
                    reader: bench.bench.reader,
                    calendars: bench.bench.calendars,
                    time: time
                )
                let feed = LiveFeed(parts, loop: loop)
                try await feed.start()
                func hears(_ line: String) async throws { while try await simulator.heard.next().line != line {} }
                func pass(_ seconds: Int) async {
                    for _ in 0..<seconds * 2 {
                        time.advance(0.5)
                        await simulator.send("T,\(Self.clockText(clock, time.now()))", to: .level1)
                    }
                }
                func rows() async throws -> [String] {
                    try await bench.pool.query("SELECT starts_at, version, open::text, close::text, trades FROM tail_bars ORDER BY known_at, ends_at")
                        .map {
                            let (start, version) = try ($0.column(0, as: Timestamp.self), $0.column(1, as: Int.self))
                            let prices = try [$0.column(2, as: String?.self), $0.column(3, as: String?.self)].compactMap { $0 }
                            let count = try $0.column(4, as: Int64?.self).map { " /\($0)" } ?? ""
                            return "\(start.seconds - begin.seconds) v\(version) \(prices.joined(separator: " "))\(count)"
                        }
                }
                try await hears("w@BTC")
                await simulator.send(line(clock, begin + .seconds(1), "99", total: 91), to: .level1)
                await simulator.send(line(clock, begin + .seconds(2), "100", total: 101), to: .level1)
                time.advance(2.5)
                try await eventually("the first bar") { try await rows() == ["1 v0 99 99 /1"] }
                await simulator.hangUp(.level1)
                try await hears("w@BTC")
                time.advance(1)
                await pass(1)
                try await eventually("the hole") { try await bench.holes().map { $0.suffix(4) } == ["open"] }
                #expect(try await rows() == ["1 v0 99 99 /1"])
                await pass(8)
                try await eventually("its repair") { try await rows().contains("2 v0 100 103 /3") }
                try await eventually("its end") { try await bench.holes().map { $0.suffix(8) } == ["repaired"] }
                // The trade that was told before the loss and is in the history counts once.
                #expect(try await rows().filter { $0.hasPrefix("2 ") } == ["2 v0 100 103 /3"])
                await feed.stop()
                await source.stop()
                await simulator.stop()
            }
        }
    }

    /// Real ticks, as they would have come one after the other, close as the same bars that an import of their history makes.
    @Test(.enabled(if: SharedData.isPresent, "no ../shared/data beside the project")) func recordedTicksCloseAsTheirHistorySays() throws {
        let root = try #require(SharedData.root)
        let name = "data/iqfeed-nept-2021/ticks_oldest.zip"
        let entry = try Archive.open(try #require(Files.read("\(root)/\(name)")), fileName: name)
        let source = ImportSource(name: SourceName(path: name), text: entry.bytes, options: ImportOptions(symbol: "NEPT"))
        let expected = try #require(try IQFeedReader.readTicks(source).series.first).bars
        let ticks = try IQFeedReader.ticks(source).qualified
        var bars = LiveBars(
            rules: LiveBars.Rules(),
            sessions: LiveSessions(try TradingClock(CalendarCatalogue.usEquity)),
            closedThrough: floorDivide(ticks.times[0], 1_000_000) * 1_000_000
        )
        var made = BarSeriesBuilder()
        func close(_ present: Int64) throws {
            let reach = bars.reach(present: present, observed: present)
            while bars.closedThrough < reach {
                for one in bars.close(through: reach) {
                    guard let prices = one.prices else { continue }
                    made.append(
                        start: one.start,
                        end: one.end,
                        open: prices.open,
                        high: prices.high,
                        low: prices.low,
                        close: prices.close,
                        volume: prices.volume,
                        trades: prices.trades
                    )
                }
            }
            #expect(bars.revisions() == [])
        }
        for row in 0..<ticks.times.count {
            let trade = SourceTrade(
                symbol: "NEPT",
                time: Timestamp(microseconds: ticks.times[row]),
                price: try #require(ticks.prices.text(at: row).flatMap { DecimalNumber($0) }),
                size: try #require(ticks.sizes?.text(at: row).flatMap { DecimalNumber($0) }),
                qualifies: true,
                totalVolume: nil
            )
            #expect(bars.take(trade, present: ticks.times[row]) == .taken)
            try close(ticks.times[row])
        }
        try close(ticks.times[ticks.times.count - 1] + 5_000_000)
        let comparison = SeriesComparison(try made.finish(), expected, volumes: true)
        #expect(comparison.isExact)
        #expect(comparison.equal == 7_949)
    }
}
