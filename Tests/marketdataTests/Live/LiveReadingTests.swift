import Bars
import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// What feeds told, read as of every moment: the log says what was known, before a day is sealed, while it is, and afterwards.
@Suite("Live reading", .serialized, .enabled(if: TestServers.hasPostgres)) struct LiveReadingTests {
    // MARK: The log, read naively

    private enum Entry {
        case told([LiveClose], at: Timestamp)
        /// Second and price of the rows of a file, for the stretch from the first to the last.
        case imported([(Int, Int)], at: Timestamp)
    }

    /// The bars of an interval that a log shows at a moment.
    private func naive(_ log: [Entry], _ seconds: Int, asOf moment: Timestamp) -> [String] {
        var prices: [Int: Int] = [:]
        var through = -1
        for entry in log {
            switch entry {
            case .told(let rows, let knownAt) where knownAt <= moment:
                for row in rows {
                    let second = Int((row.start - LiveWorld.noon) / 1_000_000)
                    through = max(through, second + 1)
                    if case .exact(let price, _) = row.prices?.open { prices[second] = Int(price) }
                }
            case .imported(let rows, let recordedAt) where recordedAt <= moment:
                for second in rows[0].0...rows[rows.count - 1].0 { prices[second] = nil }
                for (second, price) in rows { prices[second] = price }
                through = max(through, rows[rows.count - 1].0 + 1)
                // The day was long over when the file came.
                through = .max
            default: break
            }
        }
        var bars: [Int: [Int]] = [:]
        for second in prices.keys.sorted() { bars[second / seconds * seconds, default: []].append(prices[second] ?? 0) }
        return bars.keys.sorted().filter { $0 + seconds <= through }.map { start in
            let inside = bars[start] ?? []
            return "\(start) \(inside[0]) \(inside.max() ?? 0).75 \(inside.min().map { "\($0 - 1).5" } ?? "") \(inside[inside.count - 1]).25"
        }
    }

    private func shown(_ answer: BarAnswer) -> [String] {
        let bars = answer.bars
        return (0..<bars.count).map { row in
            let second = (bars.starts[row] - LiveWorld.noon) / 1_000_000
            let prices = [bars.open, bars.high, bars.low, bars.close].map { $0.text(at: row) ?? "-" }
            return "\(second) \(prices.joined(separator: " "))"
        }
    }

    /// A bar's moment is the first at which it can be read, however the day is kept.
    @Test(arguments: [1, 2, 3] as [UInt64]) func aBarHasTheMomentFromWhichItCanBeRead(seed: UInt64) async throws {
        try await withLiveWorld { world in
            let (log, _) = try await script(world, seed: seed, imports: false, sealing: false)
            let told = log.compactMap { if case .told(_, let moment) = $0 { moment } else { nil } }
            let ends = try await world.answer("5s").bars.ends
            try #require(ends.count > 1)
            func moments() async throws -> [Int64] {
                let question = PastClosesQuestion(
                    symbol: "BTCUSD",
                    interval: BarInterval(seconds: 5),
                    after: Timestamp(microseconds: ends[0] - 1),
                    through: .now(),
                    limit: ends.count
                )
                let found = try await world.bench.reader.pastCloses(question)
                #expect(found.closes.map(\.end.microseconds) == ends && !found.hasMore)
                return found.closes.map(\.knownAt.microseconds)
            }
            let fresh = try await moments()
            for (end, moment) in zip(ends, fresh) {
                let first = try #require(told.first { $0.microseconds >= moment })
                #expect(first.microseconds == moment && moment > end)
                let read = try await world.answer("5s") { $0.asOf = first }.bars.ends
                let before = try await world.answer("5s") { $0.asOf = first - .microseconds(1) }.bars.ends
                #expect(read.contains(end) && !before.contains(end))
            }
            try await world.sealAll()
            #expect(try await moments() == fresh)
        }
    }

    /// A short day: closes, quiet seconds, markers, stalls, late versions; with `imports` a file over a part of it. Seals as often as asked.
    private func script(_ world: LiveWorld, seed: UInt64, imports: Bool, sealing: Bool) async throws -> (
        log: [Entry], early: [(Timestamp, String, String)]
    ) {
        var numbers = Numbers(state: seed)
        var log: [Entry] = []
        var early: [(Timestamp, String, String)] = []
        var versions: [Int: Int] = [:]
        var second = 0
        for step in 0..<24 {
            var rows: [LiveClose] = []
            for _ in 0..<numbers.next(4) {
                if second > 0, numbers.next(4) == 0 {
                    let late = numbers.next(second)
                    guard !rows.contains(where: { $0.start == LiveWorld.noon + Int64(late) * 1_000_000 }) else { continue }
                    versions[late, default: 0] += 1
                    rows.append(world.row(late, version: versions[late] ?? 1, price: 100 + numbers.next(50)))
                } else if numbers.next(3) > 0 {
                    rows.append(world.row(second, price: 100 + numbers.next(50)))
                    second += 1
                } else {
                    // Nothing happened: said only where an interval of five seconds ends.
                    if (second + 1) % 5 == 0 { rows.append(world.row(second, price: nil)) }
                    second += 1
                }
            }
            if !rows.isEmpty { log.append(.told(rows, at: try await world.record(rows))) }
            if imports, step == 15 {
                let file = (3..<9).filter { $0 != 5 }.map { ($0, 200 + $0) }
                let text = file.map { second, price in
                    "\((Timestamp(microseconds: LiveWorld.noon) + .seconds(second)).iso8601.prefix(19)),\(price),\(price).75,\(price - 1).5,\(price).25,1"
                }
                try await world.bench.take("time,open,high,low,close,volume\n" + text.joined(separator: "\n") + "\n", as: "BTCUSD.csv")
                let stamp = try await world.superuser.query("SELECT max(recorded_at) FROM chunks").first?.column(0, as: Timestamp.self)
                log.append(.imported(file, at: try #require(stamp)))
            }
            if sealing, numbers.next(3) == 0 { try await world.sealAll() }
            guard case .told(_, let moment)? = log.last else { continue }
            early.append((moment, try await world.text("1s", asOf: moment), try await world.text("5s", asOf: moment)))
        }
        return (log, early)
    }

    @Test(arguments: [1, 2, 3] as [UInt64], [false, true]) func everyMomentIsThatOfTheLog(seed: UInt64, imports: Bool) async throws {
        try await withLiveWorld { world in
            let (log, early) = try await script(world, seed: seed, imports: imports, sealing: seed == 2)
            var moments: [Timestamp] = []
            for entry in log {
                switch entry {
                case .told(_, let moment), .imported(_, let moment): moments += [moment + .microseconds(-1), moment]
                }
            }
            func answers() async throws -> [String] {
                var all: [String] = []
                for moment in moments {
                    for seconds in [1, 5, 10] {
                        let answer = try await world.answer("\(seconds)s") { $0.asOf = moment }
                        #expect(shown(answer) == naive(log, seconds, asOf: moment), "\(seconds) s as of \(moment.iso8601)")
                        all.append(try await world.text("\(seconds)s", asOf: moment))
                    }
                }
                return all
            }
            let before = try await answers()
            #expect(try await world.count("tail_bars") > 0 || seed == 2)
            // Whatever was said at a moment is said of it for ever, whatever came later.
            for (moment, ones, fives) in early {
                #expect(try await world.text("1s", asOf: moment) == ones)
                #expect(try await world.text("5s", asOf: moment) == fives)
            }
            try await world.sealAll()
            #expect(try await world.count("tail_bars") == 0)
            #expect(try await answers() == before)
            // And once more, of what nobody remembers.
            let fresh = try Bench(world.store)
            var request = BarRequest(symbol: "BTCUSD", interval: BarInterval(seconds: 5))
            request.countback = 2_000
            request.asOf = moments.last
            #expect(shown(try await fresh.reader.read(request)) == naive(log, 5, asOf: try #require(moments.last)))
        }
    }

    @Test func aStalledFeedMakesNoHalfBarLookWhole() async throws {
        try await withLiveWorld { world in
            _ = try await world.record([world.row(0, price: 100), world.row(1, price: 101), world.row(4, price: 104), world.row(6, price: 106)])
            // The clock is months ahead, and still nobody knows the rest of the second bar.
            #expect(shown(try await world.answer("5s")).count == 1)
            let running = try await world.answer("5s") { $0.partial = true }
            #expect(running.lastIsPartial && running.bars.count == 2)
            try await world.sealAll()
            #expect(shown(try await world.answer("5s")).count == 1)
            _ = try await world.record([world.row(9, price: nil)])
            #expect(shown(try await world.answer("5s")).count == 2)
            // Something of another day says as much of this one, even to who does not ask for that day.
            _ = try await world.record([world.row(11, price: 111)])
            let end = Timestamp(microseconds: LiveWorld.noon + 15_000_000)
            #expect(try await world.answer("5s") { $0.end = end }.bars.count == 2)
            let next = try await world.record([world.row(86_400, price: 500)])
            #expect(try await world.answer("5s") { $0.end = end }.bars.count == 3)
            #expect(try await world.answer("5s") { ($0.end, $0.asOf) = (end, next + .microseconds(-1)) }.bars.count == 2)
            try await world.sealAll()
            #expect(try await world.answer("5s") { $0.end = end }.bars.count == 3)
            #expect(try await world.answer("5s") { ($0.end, $0.asOf) = (end, next + .microseconds(-1)) }.bars.count == 2)
        }
    }

    @Test func nothingIsFilledWhereNothingIsKnown() async throws {
        try await withLiveWorld { world in
            _ = try await world.record([world.row(0, price: 100), world.row(14, price: nil)])
            let answer = try await world.answer("5s") { $0.fillsForward = true }
            #expect(answer.bars.starts.map { ($0 - LiveWorld.noon) / 1_000_000 } == [0, 5, 10])
        }
    }

    @Test func aFeedGoesOnWhereAVendorsBarsEnd() async throws {
        try await withLiveWorld { world in
            // Half an hour of minutes from a file, in the morning of a day that a feed then tells of.
            try await world.bench.take(minutes(from: "2026-03-02T11:58:00Z", count: 2), as: "BTCUSD.csv")
            let first = try await world.record((0..<60).map { world.row($0, price: 300, origin: .derived) })
            _ = try await world.record((60..<120).map { world.row($0, price: 301, origin: .derived) })
            func check() async throws {
                let now = try await world.answer("1m")
                #expect(now.bars.close.doubles() == [100.25, 101.25, 300.25, 301.25])
                #expect(try await world.answer("1m") { $0.asOf = first }.bars.count == 3)
                #expect(try await world.answer("1m") { $0.asOf = first + .microseconds(-1) }.bars.count == 2)
            }
            try await check()
            try await world.sealAll()
            try await check()
            // A longer interval of the day that is imported later: known from then on, and not before.
            let before = try await world.text("2m", asOf: first)
            try await world.bench.take(minutes(from: "2026-03-02T12:00:00Z", count: 2, first: 900), as: "BTCUSD.csv")
            #expect(try await world.text("2m", asOf: first) == before)
            #expect(try await world.answer("1m").bars.close.doubles().suffix(2) == [900.25, 901.25])
            #expect(try await world.count("chunks WHERE recorded_at = 'infinity'") == 0)
        }
    }

    @Test func anotherIntervalOfALiveDayIsKnownFromItsImportOn() async throws {
        try await withLiveWorld { world in
            let told = try await world.record((0..<120).map { world.row($0, price: 300, origin: .derived) })
            let before = try await world.text("1m", asOf: told)
            try await world.bench.take(minutes(from: "2026-03-02T12:00:00Z", count: 2, first: 900), as: "BTCUSD.csv")
            #expect(try await world.count("chunks WHERE interval_seconds = 60 AND isfinite(recorded_at)") == 1)
            #expect(try await world.text("1m", asOf: told) == before)
            #expect(try await world.answer("1m").bars.close.doubles() == [900.25, 901.25])
        }
    }

    @Test func aCorrectionComesAfterWhatAFeedToldAheadOfTheClock() async throws {
        try await withLiveWorld { world in
            try await world.bench.take(minutes(from: "2026-02-27T12:00:00Z", count: 10), as: "BTCUSD.csv")
            // As if the server's clock had been set back by an hour.
            try await world.superuser.execute("UPDATE live_clock SET known_at = clock_timestamp() + interval '1 hour'")
            let told = try await world.record([world.row(0, price: 300, origin: .derived)])
            let before = try await world.text("1m", asOf: told)
            try await world.bench.take(minutes(from: "2026-02-27T12:00:00Z", count: 10, first: 900), as: "BTCUSD.csv")
            #expect(try await world.text("1m", asOf: told) == before)
            let stamp = try #require(try await world.superuser.query("SELECT max(recorded_at) FROM chunks").first).column(0, as: Timestamp.self)
            #expect(stamp > told)
            let now = try await KnowledgeStore(pool: world.pool).now()
            #expect(now >= stamp)
            #expect(try await world.text("1m", asOf: now) != before)
            // What was answered as of the correction is not changed by what the feed tells next.
            #expect(try await world.record([world.row(1, price: 301, origin: .derived)]) > stamp)
        }
    }

    // MARK: Waiting

    /// The first row of all, one more of a day, the first row of the next day.
    @Test(arguments: [nil, 60, 86_400]) func whoReadsAsOfAMomentWaitsForWhatIsStampedBeforeIt(second: Int?) async throws {
        try await withLiveWorld { world in
            let isFirst = second == nil
            try await world.bench.take(minutes(from: "2026-03-01T23:00:00Z", count: 60), as: "BTCUSD.csv")
            if !isFirst { _ = try await world.record((0..<60).map { world.row($0, price: 300, origin: .derived) }) }
            // The step has its stamp, and cannot commit.
            try await world.superuser.execute("BEGIN")
            try await world.superuser.execute("LOCK TABLE live_announcements IN SHARE MODE")
            func waiting() async throws -> Int {
                try await world.pool.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
                    .first?.column(0) ?? 0
            }
            let due = LiveAnnouncement(intervalSeconds: 60, closeAt: .now(), knownAt: .distantPast, instruments: [world.btc])
            let first = second ?? 0
            async let told = world.record((first..<first + 60).map { world.row($0, price: 301, origin: .derived) }, announcements: [due])
            try await eventually("the feed waits") { try await waiting() == 1 }
            let moment = try #require(try await world.pool.query("SELECT clock_timestamp()").first).column(0, as: Timestamp.self)
            let isRead = Mutex(false)
            async let answer = {
                let answer = try await world.answer("1m") { $0.asOf = moment }
                isRead.withLock { $0 = true }
                return answer.bars.count
            }()
            try await eventually("the reader waits too") { try await waiting() == 2 || isRead.withLock { $0 } }
            #expect(!isRead.withLock { $0 })
            try await world.superuser.execute("COMMIT")
            #expect(try await told < moment)
            let count = try await answer
            #expect(count == (isFirst ? 61 : 62))
            #expect(try await world.answer("1m") { $0.asOf = moment }.bars.count == count)
        }
    }

    @Test func feedsWaitForNoHistoryOfAnImport() async throws {
        try await withLiveWorld { world in
            _ = try await world.record([world.row(0, price: 100)])
            // The import has begun to write, and does not come further.
            try await world.superuser.execute("BEGIN")
            try await world.superuser.execute("LOCK TABLE chunk_slots IN SHARE MODE")
            let times = ["2026-02-27T12:00:0", "2026-03-02T11:00:0"].flatMap { minute in (0..<5).map { "\(minute)\($0)" } }
            let text = "time,open,high,low,close,volume\n" + times.map { "\($0),100,101,99,100,1\n" }.joined()
            async let taken: Void = { _ = try await world.bench.take(text, as: "BTCUSD.csv") }()
            func count(_ what: SQL) async throws -> Int { try await world.pool.query("SELECT count(*) FROM \(what)").first?.column(0) ?? 0 }
            try await eventually("the import waits") {
                try await count("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
            }
            let subject = "marketdata-recording:live"
            let free = try await world.pool.query("SELECT pg_try_advisory_xact_lock_shared(hashtextextended(\(subject), 0))").first
            #expect(try #require(free).column(0, as: Bool.self))
            try await world.superuser.execute("COMMIT")
            try await taken
            #expect(try await world.count("(SELECT DISTINCT day FROM chunks) AS days") == 2)
            #expect(try await world.answer("1s").bars.count == 11)
        }
    }

    // MARK: Who pins a moment

    @Test func aChartStaysAsItWasOpenedWhileBarsComeIn() async throws {
        try await withLiveWorld { world in
            let doors = try ChartDoors(world.store, world.pool, results: CountingCache())
            let token = try await doors.token()
            _ = try await world.record((0..<40).map { world.row($0, price: 100 + $0) })
            func open() async throws -> (id: String, body: [UInt8]) {
                let answer = try await doors.historical(token, "BTCUSD", "5s", "2026-03-02", "2026-03-03")
                return (try #require(try answer.json()["request_id"]?.string), answer.body)
            }
            let first = try await open()
            let path = "/historical/chunk?session_token=\(token)&request_id=\(first.id)&before=2026-03-02T12:00:30Z&limit="
            // Each limit is a part of its own, which nobody has remembered.
            func part(_ limit: Int) async throws -> String {
                let json = try await doors.stranger.get(path + "\(limit)").json()
                let last = Int(json["count"]?.integer ?? 0)
                return (last - 3..<last).map { "\(json["columns"]?["close"]?[$0] ?? .null)" }.joined(separator: " ")
            }
            let before = try await part(3)
            #expect(try await open().body == first.body)
            for round in 4..<8 {
                // New bars, and a late tick in the part that is read.
                _ = try await world.record(
                    (round * 10..<round * 10 + 10).map { world.row($0, price: 100 + $0) } + [
                        world.row(24, version: round, price: 900 + round)
                    ]
                )
                if round % 2 == 0 { try await world.sealAll() }
                #expect(try await part(round) == before)
                let opened = try await open()
                #expect(opened.id != first.id && opened.body != first.body)
            }
        }
    }

    @Test func aReplayOfALiveDayShowsWhatWasKnownWhenItBegan() async throws {
        try await withLiveWorld { world in
            _ = try await world.record((0..<20).map { world.row($0, price: 100 + $0) })
            _ = try await world.record([world.row(3, version: 1, price: 500)])
            let replay = try await world.store.createReplay(
                ReplayDraft(
                    id: .make(),
                    instrumentID: .make(),
                    sourceInstrumentID: world.btc,
                    accountID: .make(),
                    baseIntervalSeconds: 1,
                    speed: 1,
                    loops: false,
                    startsAt: Timestamp(microseconds: LiveWorld.noon),
                    endsAt: nil,
                    revisionsAsOf: nil,
                    createdAt: .now()
                ),
                within: ReplayLimits()
            )
            _ = try await world.store.claimReplays(runner: "a", leaseSeconds: 600)
            let through = replay.startsAt + .seconds(10)
            let step = ReplayStep(replayID: replay.id, from: replay.startsAt, through: through, bars: 10, closes: [])
            #expect(try await world.store.release(step, runner: "a") != nil)
            _ = try await world.record([world.row(4, version: 1, price: 600)])
            var shown: [[String]] = []
            for isSealed in [false, true] {
                if isSealed { try await world.sealAll() }
                let bench = try Bench(world.store)
                #expect(try await bench.closes(replay.symbol, "1s") == (0..<10).map { $0 == 3 ? "500.25" : "\(100 + $0).25" })
                shown.append(try await bench.closes(replay.symbol, "5s"))
            }
            #expect(shown == [["104.25", "109.25"], ["104.25", "109.25"]])
        }
    }

    /// What a feed told became known long after the bars' own times, by which a replay goes: still its charts grow with what is released.
    @Test func aChartOfAReplayOfALiveDayGrows() async throws {
        try await withLiveWorld { world in
            _ = try await world.record((0..<20).map { world.row($0, price: 100 + $0) })
            let doors = try ChartDoors(world.store, world.pool)
            var draft = ReplayDraft.minutes(of: world.btc)
            (draft.baseIntervalSeconds, draft.startsAt) = (1, Timestamp(microseconds: LiveWorld.noon))
            let replay = try await world.store.createReplay(draft, within: ReplayLimits())
            _ = try await world.store.claimReplays(runner: "a", leaseSeconds: 600)
            let token = try await doors.token()
            var from = replay.startsAt
            for seconds in [5, 10, 15] {
                let through = replay.startsAt + .seconds(seconds)
                let step = ReplayStep(replayID: replay.id, from: from, through: through, bars: 5, closes: [])
                #expect(try await world.store.release(step, runner: "a") != nil)
                from = through
                let chart = try await doors.historical(token, replay.symbol.replacing("@", with: "%40"), "1s", "2026-03-02", "2026-03-02")
                #expect(try chart.json()["count"] == .integer(Int64(seconds)))
            }
        }
    }

    @Test func retentionLeavesASeriesThatHasOnlyATail() async throws {
        try await withLiveWorld { world in
            let text = (0..<5).map { "2025-01-01T00:00:0\($0),100,101,99,100,1" }.joined(separator: "\n")
            try await world.bench.take("time,open,high,low,close,volume\n\(text)\n", as: "BTCUSD.csv")
            _ = try await world.record([world.row(0, price: 100)])
            let rules = RetentionStore(pool: world.pool)
            _ = try await rules.put(RetentionScope(instrument: world.btc), keepDays: 30)
            #expect(await Retention(store: rules, time: SystemTimeSource(), loop: TestLoop.shared).round() == 1)
            let series = try #require(try await world.store.series(of: world.btc).first)
            #expect(series.firstDay == CivilDay(utcMicroseconds: LiveWorld.noon))
            #expect(try await Bench(world.store).closes("BTCUSD", "1s") == ["100.25"])
        }
    }

    // MARK: What is listed

    @Test func whatIsListedKnowsLiveDays() async throws {
        try await withLiveWorld { world in
            let catalogue = Catalogue(store: world.store, cpu: world.store.cpu, time: SystemTimeSource())
            let first = try await world.record([world.row(0, price: 100), world.row(4, price: nil)])
            _ = try await world.record([world.row(61, price: 101), world.row(0, version: 1, price: 99)])
            let name = try #require(DatasetName("bars.crypto.BTCUSD.1s.trade"))
            var seen: [String] = []
            for isSealed in [false, true] {
                if isSealed { try await world.sealAll() }
                #expect(try await world.store.datasets(DatasetQuery(limit: 10)).map(\.days) == [1])
                let whole = try await catalogue.dataset(name, asOf: nil)
                #expect(whole.partitions.map(\.rows) == [4])
                #expect(try await catalogue.dataset(name, asOf: first).partitions.map(\.rows) == [2])
                #expect(try await catalogue.dataset(name, asOf: first + .microseconds(-1)).partitions.isEmpty)
                seen.append(whole.dataSHA256.hex)
                let coverage = try await catalogue.coverage(Catalogue.CoverageQuery(symbol: "BTCUSD", interval: .init(seconds: 1), price: nil))
                let bits = try #require(coverage.days.last).bits
                #expect([720, 721, 722].map { DaySlots.isSet($0, in: bits) } == [true, true, false])
                let report = try await world.bench.quality.report(on: "BTCUSD")
                #expect(report.series.map(\.rows) == [2])
            }
            #expect(seen[0] == seen[1])
        }
    }
}

/// Small numbers, the same for the same seed.
private struct Numbers {
    var state: UInt64

    mutating func next(_ count: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % max(1, count)
    }
}
