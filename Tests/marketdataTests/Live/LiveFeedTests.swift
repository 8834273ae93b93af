import Bars
import Contracts
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// From a stream to closed bars in Postgres, and to their announcements.
@Suite("Live feed", .serialized, .enabled(if: TestServers.hasPostgres), .timeLimit(.minutes(10))) struct LiveFeedTests {
    @Test func tradesBecomeClosedBars() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.watch(5)
            try await bench.running { stream in
                #expect(stream.kind == .trades)
                try await bench.up(stream)
                stream.tell(try bench.trade("12:00:00.1", "100"))
                stream.tell(try bench.trade("12:00:00.9", "102"))
                stream.tell(try bench.trade("12:00:00.5", "99"))
                stream.tell(try bench.trade("12:00:02", "101"))
                bench.time.advance(0.9)
                // A later tick closed the first second, and the clock has not come to the end of the next.
                try await bench.recorded(["12:00:01 v0 100 102 99 102"])
                bench.pass(5, stream)
                try await bench.recorded(["12:00:01 v0 100 102 99 102", "12:00:03 v0 101 101 101 101", "12:00:05 v0 -"])
                try await bench.announced(["5s@12:00:05: BTCUSD"])
                let event = try #require(try await bench.closes().first)
                #expect(event.bars.first?.bar?.close.description == "101")
                #expect(event.bars.first?.bar?.start == at("2024-03-04T12:00:00Z"))
                // A minute later nothing was due but its own closes.
                #expect(try await bench.live.announcementsDue(feed: "scripted") == [])
            }
        }
    }

    @Test func aMinuteWithoutATradeClosesWithoutABar() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.watch(60)
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(61, stream)
                try await bench.announced(["60s@12:01:00: BTCUSD null"])
                let markers = (1...12).map { "12:\($0 == 12 ? "01" : "00"):\($0 == 12 ? "00" : $0 == 1 ? "05" : "\($0 * 5)") v0 -" }
                try await bench.recorded(markers)
            }
        }
    }

    @Test func aLateTickIsARevisionAndNoSecondClose() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.watch(5)
            try await bench.running { stream in
                try await bench.up(stream)
                stream.tell(try bench.trade("12:00:03.5", "100", total: "10"))
                bench.pass(6, stream)
                try await bench.announced(["5s@12:00:05: BTCUSD"])
                stream.tell(try bench.trade("12:00:03.7", "97", total: "11"))
                // Told twice, counted once.
                stream.tell(try bench.trade("12:00:03.7", "97", total: "11"))
                stream.tell(try bench.trade("12:00:03.5", "100", total: "10"))
                let closed = ["12:00:04 v0 100 100 100 100", "12:00:05 v0 -", "12:00:04 v1 100 100 97 97"]
                try await bench.recorded(closed)
                bench.pass(5, stream)
                try await bench.announced(["5s@12:00:05: BTCUSD", "5s@12:00:10: BTCUSD null"])
                try await bench.recorded(closed + ["12:00:10 v0 -"])
                let revised = try await bench.pool.query("SELECT count(*) FROM outbox WHERE type = \(BarsRevised.eventType)").first
                #expect(try revised?.column(0, as: Int.self) == 1)
                #expect(try await bench.pool.query("SELECT trades FROM tail_bars WHERE version = 1").first?.column(0, as: Int64.self) == 2)
            }
        }
    }

    @Test func aFeedThatDiesInTheMiddleOfABarHoldsItBack() async throws {
        try await LiveBench.with { bench in
            try await bench.store.create(coin("ETHUSD"))
            for symbol in ["BTCUSD", "ETHUSD"] { try await bench.subscribe(symbol) }
            try await bench.watch(5, of: ["BTCUSD", "ETHUSD"])
            let whole = try bench.history([("12:00:02", "102"), ("12:00:08", "108")])
            bench.source.reply { request in
                if request.symbol == "#ETHUSD" { throw SourceError.beyondReach("all of it") }
                return whole
            }
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(2, stream)
                stream.tell(try bench.trade("12:00:02.1", "100"))
                // The line is dead long before anybody notices: nothing is closed meanwhile.
                bench.time.advance(7)
                try await bench.down(stream, since: "12:00:02.2")
                bench.time.advance(3)
                try await bench.up(stream)
                bench.pass(3, stream)
                #expect(try await bench.rows() == [])
                // The hole lasts from the second of the last sign of life to the one of the next.
                try await bench.holes(are: ["12:00:02-12:00:12 open", "12:00:02-12:00:12 open"])
                // However many instruments, it is one statement.
                #expect(try await bench.pool.query("SELECT DISTINCT opened_at FROM live_holes").count == 1)
                bench.pass(4, stream)
                let asked = try await [bench.source.asked.next(), bench.source.asked.next(), bench.source.asked.next()]
                #expect(asked.allSatisfy { $0.range == at("2024-03-04T12:00:02Z")..<at("2024-03-04T12:00:12Z") })
                #expect(asked.filter { $0.symbol == "#BTCUSD" }.map(\.kind) == [.ticks])
                #expect(asked.filter { $0.symbol == "#ETHUSD" }.map(\.kind) == [.ticks, .bars(.seconds(1))])
                let repaired = ["12:00:03 v0 102 102 102 102", "12:00:05 v0 -", "12:00:09 v0 108 108 108 108", "12:00:10 v0 -", "12:00:15 v0 -"]
                try await bench.recorded(repaired)
                // Of what is lost nothing is said, not even that nothing was traded.
                try await bench.recorded(["12:00:15 v0 -"], "ETHUSD")
                try await eventually { try await bench.holes().sorted() == ["12:00:02-12:00:12 lost", "12:00:02-12:00:12 repaired"] }
                try await eventually { try await bench.announced().count >= 3 }
                let told = try await bench.announced()
                #expect(Set(told.filter { !$0.hasPrefix("5s@12:00:15") }) == ["5s@12:00:05: BTCUSD", "5s@12:00:10: BTCUSD"])
                #expect(told.count { $0.hasPrefix("5s@12:00:15") } >= 1)
            }
        }
    }

    @Test func aHoleStallsNobodyElse() async throws {
        try await LiveBench.with(heartbeat: nil) { bench in
            try await bench.store.create(coin("ETHUSD"))
            try await bench.subscribe("BTCUSD")
            try await bench.subscribe("ETHUSD", bars: 1)
            try await bench.watch(5, of: ["BTCUSD", "ETHUSD"])
            let feed = LiveFeed(bench.parts(), loop: TestLoop.shared)
            try await feed.start()
            let both = try await [bench.source.streams.next(), bench.source.streams.next()]
            let trades = try #require(both.first { $0.kind == .trades })
            let bars = try #require(both.first { $0.kind == .bars(seconds: 1) })
            for stream in both { _ = try await stream.watched.next() }
            try await bench.up(trades, bars)
            bench.pass(5.5)
            try await bench.announced(["5s@12:00:05: BTCUSD null, ETHUSD null"])
            try await bench.down(bars, since: "12:00:05")
            // What happens to the one is not known; the other closes.
            trades.tell(try bench.trade("12:00:06", "100"))
            trades.tell(try bench.trade("12:00:07", "101"))
            try await eventually("it is told") { try await bench.rows().contains("12:00:07 v0 100 100 100 100") }
            bench.pass(5)
            try await bench.announced(["5s@12:00:05: BTCUSD null, ETHUSD null", "5s@12:00:10: BTCUSD"])
            try await bench.up(bars)
            try await bench.holes(are: ["12:00:05-12:00:11 open"])
            bench.pass(7)
            try await bench.holes(are: ["12:00:05-12:00:11 repaired"])
            try await eventually { try await bench.announced().contains("5s@12:00:10: ETHUSD null") }
            await feed.stop()
        }
    }

    @Test func aSlowReaderHasAHoleToo() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            let whole = try bench.history([("12:00:01", "101")])
            bench.source.reply { _ in whole }
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(1, stream)
                bench.time.advance(1.5)
                stream.tell(.hole(since: at("2024-03-04T12:00:01.2Z"), .slowReader(dropped: 12)))
                try await bench.holes(are: ["12:00:01-12:00:03 open"])
                bench.pass(8, stream)
                try await bench.recorded(["12:00:02 v0 101 101 101 101", "12:00:05 v0 -", "12:00:10 v0 -"])
                try await bench.holes(are: ["12:00:01-12:00:03 repaired"])
            }
        }
    }

    @Test func aSourceWithoutItsOwnConnectionHasAHole() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(1, stream)
                stream.tell(.upstream(isConnected: false))
                try await eventually("it is away") { try await bench.subscriptions.all(of: "scripted").map(\.state) == [.away] }
                // Its client program still speaks, and knows nothing.
                bench.pass(20, stream)
                stream.tell(.upstream(isConnected: true))
                try await bench.holes(are: ["12:00:01-12:00:21 open"])
                #expect(try await bench.rows() == [])
                bench.pass(7, stream)
                try await bench.recorded((1...5).map { "12:00:\($0 == 1 ? "05" : "\($0 * 5)") v0 -" })
            }
        }
    }

    @Test func whatDoesNotComeInTimeIsLost() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.watch(5)
            bench.source.reply { _ in throw SourceError.unavailable("its servers are away") }
            try await bench.running { stream in
                try await bench.up(stream)
                stream.tell(.hole(since: at("2024-03-04T12:00:00Z"), .disconnected("gone")))
                stream.tell(.live)
                try await bench.holes(are: ["12:00:00-12:00:01 open"])
                // It is asked for again and again, ever more slowly.
                try await eventually("it is asked for") {
                    bench.pass(1, stream)
                    return bench.source.asked.pendingCount >= 3
                }
                #expect(try await bench.rows() == [])
                try await eventually("its patience ends") {
                    bench.pass(4, stream)
                    return try await bench.holes() == ["12:00:00-12:00:01 lost"]
                }
                try await eventually { try await bench.rows().first == "12:00:05 v0 -" }
                try await eventually { try await bench.announced().first == "5s@12:00:05: BTCUSD null" }
            }
        }
    }

    @Test func aClockThatIsSetClosesNothingTwice() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.watch(5)
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(5.5, stream)
                try await bench.announced(["5s@12:00:05: BTCUSD null"])
                // Set forward by an hour, and back again soon: not believed.
                bench.time.set(by: 3_600)
                try await bench.time.seen()
                stream.tell(try bench.trade("12:00:06", "100", total: "1"))
                for _ in 0..<3 {
                    bench.time.advance(0.125)
                    try await bench.time.seen()
                }
                bench.time.advance(0.125)
                bench.time.set(by: -3_600)
                bench.pass(5, stream)
                try await bench.announced(["5s@12:00:05: BTCUSD null", "5s@12:00:10: BTCUSD"])
                // A stamp from the future is not believed either, nor is one of a source's clock.
                stream.tell(.clock(at("2024-03-04T18:00:00Z")))
                stream.tell(try bench.trade("17:00:00", "1"))
                bench.pass(5, stream)
                try await bench.announced(["5s@12:00:05: BTCUSD null", "5s@12:00:10: BTCUSD", "5s@12:00:15: BTCUSD null"])
                try await bench.recorded(["12:00:05 v0 -", "12:00:07 v0 100 100 100 100", "12:00:10 v0 -", "12:00:15 v0 -"])
            }
        }
    }

    @Test func timeThatWasSkippedIsAHole() async throws {
        try await LiveBench.with(heartbeat: nil) { bench in
            try await bench.subscribe()
            let whole = try bench.history([("12:05:00", "105")])
            bench.source.reply { _ in whole }
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(5.5)
                try await bench.recorded(["12:00:05 v0 -"])
                bench.time.set(by: 600)
                for _ in 0..<8 {
                    bench.time.advance(1)
                    try await bench.time.seen()
                }
                try await eventually("the hole") { try await bench.holes().count == 1 }
                bench.pass(10)
                try await eventually("its repair") { try await bench.holes().first?.hasSuffix("repaired") == true }
                try await eventually("the bar in it") { try await bench.rows().contains("12:05:01 v0 105 105 105 105") }
                let ends = try await bench.rows().filter { $0.contains(" v0 ") }.map { $0.prefix(8) }
                #expect(Set(ends).count == ends.count)
            }
        }
    }

    @Test func whoTakesOverAnnouncesWhatWasRecorded() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.watch(5)
            let gate = GatedCache()
            // Every answer is looked for in the cache, few rows as well: there the reader is stopped.
            var limits = ReadLimits()
            limits.lightRows = 0
            var killed = bench.parts(reader: try Bench(bench.store, results: gate, limits: limits).reader)
            killed.metrics = LiveMetrics(source: "scripted", metrics: Metrics())
            #expect(try await bench.live.claim(feed: "scripted", runner: killed.runner, leaseSeconds: 3_600))
            let session = Task(on: TestLoop.shared) { [killed] in try await LiveSession(killed, loop: TestLoop.shared).run() }
            let stream = try await bench.source.streams.next()
            try await bench.up(stream)
            stream.tell(try bench.trade("12:00:01", "100"))
            bench.pass(6, stream)
            // It has recorded the close and reads the bar to announce it.
            _ = try await gate.asked.next()
            #expect(killed.metrics.due.current == 1)
            try await bench.recorded(["12:00:02 v0 100 100 100 100", "12:00:05 v0 -"])
            session.cancel()
            gate.open()
            _ = await session.result
            // Not its affair any more.
            #expect(killed.metrics.due.current == 0 && killed.metrics.oldestDue.current == 0)
            #expect(try await bench.announced() == [])
            #expect(try await bench.live.announcementsDue(feed: "scripted").count == 1)
            // As if killed: its lease runs out.
            _ = try await bench.pool.execute("UPDATE live_feeds SET lease_until = '-infinity'")
            bench.time.advance(30)
            try await bench.running { stream in
                try await bench.announced(["5s@12:00:05: BTCUSD"])
                #expect(try await bench.closes().first?.bars.first?.bar?.close.description == "100")
                // What nobody watched meanwhile is asked for.
                stream.tell(.live)
                try await bench.holes(are: ["12:00:05-12:00:36 open"])
                bench.pass(7, stream)
                try await bench.holes(are: ["12:00:05-12:00:36 repaired"])
                try await bench.announced((1...8).map { "5s@12:00:\($0 == 1 ? "05" : "\($0 * 5)"): BTCUSD" + ($0 == 1 ? "" : " null") })
            }
        }
    }

    @Test func afterDaysADayIsAskedFor() async throws {
        try await LiveBench.with { bench in
            let series = try await bench.subscribe().series
            #expect(try await bench.live.claim(feed: "scripted", runner: "earlier", leaseSeconds: 60))
            let end = at("2024-03-04T12:00:05Z").microseconds
            let close = LiveClose(instrumentID: try await bench.id(), series: series, start: end - 1_000_000, end: end, version: 0, prices: nil)
            _ = try await bench.live.record(LiveStep(closes: [close]), feed: "scripted", runner: "earlier")
            try await bench.live.release(feed: "scripted", runner: "earlier")
            bench.time.advance(2 * 86_400 + 5)
            bench.source.reply { _ in throw SourceError.beyondReach("that") }
            try await bench.running { stream in
                stream.tell(.live)
                try await eventually("the older day is lost") { try await bench.holes().contains { $0.hasSuffix("lost") } }
                bench.pass(7, stream)
                #expect(try await bench.source.asked.next().range == at("2024-03-05T12:00:05Z")..<at("2024-03-06T12:00:05Z"))
                try await eventually("both are lost") { try await bench.holes().map { $0.suffix(4) } == ["lost", "lost"] }
                // It goes on where the present is, and says nothing of what it does not know.
                try await bench.recorded(["12:00:05 v0 -", "12:00:10 v0 -"])
            }
        }
    }

    @Test func oneOfTwoRunsIt() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.watch(5)
            let other = ScriptedSource(heartbeat: .seconds(1), time: bench.time)
            let (first, second) = (bench.parts(), bench.parts(source: other))
            let feeds = [first, second].map { LiveFeed($0, loop: TestLoop.shared) }
            try await feeds[0].start()
            let stream = try await bench.source.streams.next()
            try await feeds[1].start()
            try await bench.up(stream)
            bench.pass(6, stream)
            try await bench.announced(["5s@12:00:05: BTCUSD null"])
            #expect(other.streams.pendingCount == 0)
            // The first is stopped: the second goes on at once, where it was.
            await feeds[0].stop()
            let next = try await other.streams.next()
            next.tell(.live)
            try await bench.holes(are: ["12:00:05-12:00:06 open"])
            bench.pass(8, next)
            try await bench.recorded(["12:00:05 v0 -", "12:00:10 v0 -"])
            try await bench.announced(["5s@12:00:05: BTCUSD null", "5s@12:00:10: BTCUSD null"])
            await feeds[1].stop()
        }
    }

    @Test func whatCannotBeReadIsLeftOutAndHoldsUpNobody() async throws {
        try await LiveBench.with { bench in
            try await bench.store.create(coin("ETHUSD"))
            for symbol in ["BTCUSD", "ETHUSD"] { try await bench.subscribe(symbol) }
            try await bench.watch(5, of: ["BTCUSD", "ETHUSD"])
            var parts = bench.parts()
            parts.metrics = LiveMetrics(source: "scripted", metrics: Metrics())
            try await bench.running(parts) { stream in
                try await bench.up(stream)
                for symbol in ["BTCUSD", "ETHUSD"] { stream.tell(try bench.trade("12:00:01", "100", symbol: symbol)) }
                bench.pass(6, stream)
                try await eventually("both are announced") { try await bench.closes().first?.bars.count == 2 }
                // The day of the one is sealed, and its bytes rot.
                let (seals, id) = (LiveSeals(pool: bench.pool, cpu: bench.store.cpu), try await bench.id("ETHUSD"))
                for part in try await seals.unsealed() where part.instrumentID == id { #expect(try await seals.seal(part)) }
                _ = try await bench.superuser.execute(
                    "UPDATE chunks SET bytes = set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1)"
                )
                stream.tell(try bench.trade("12:00:07", "101"))
                bench.pass(5, stream)
                try await eventually("the other is announced") { try await bench.announced().last == "5s@12:00:10: BTCUSD" }
                // Nor does the same length wait for ever.
                bench.pass(5, stream)
                try await eventually("and again") { try await bench.announced().last == "5s@12:00:15: BTCUSD null" }
                #expect(try await bench.live.announcementsDue(feed: "scripted") == [])
                #expect(parts.metrics.unreadable.current == 2)
            }
        }
    }

    @Test func whoIsCalledSoDoesNotMatter() async throws {
        try await LiveBench.with { bench in
            // Another bore the name on that day.
            try await bench.store.create(coin("ETHUSD"))
            _ = try await bench.pool.execute(
                """
                INSERT INTO instrument_names (instrument_id, ticker, first_day, last_day)
                VALUES (\(try await bench.id("ETHUSD")), 'BTCUSD', '2024-01-01', '2024-12-31')
                """
            )
            try await bench.subscribe()
            try await bench.watch(5)
            try await bench.running { stream in
                try await bench.up(stream)
                stream.tell(try bench.trade("12:00:01", "100"))
                bench.pass(6, stream)
                try await bench.announced(["5s@12:00:05: BTCUSD"])
            }
        }
    }

    @Test func whoHasLostItsLeaseRecordsNothing() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            let parts = bench.parts()
            #expect(try await bench.live.claim(feed: "scripted", runner: parts.runner, leaseSeconds: 3_600))
            let session = Task(on: TestLoop.shared) { try await LiveSession(parts, loop: TestLoop.shared).run() }
            let stream = try await bench.source.streams.next()
            try await bench.up(stream)
            _ = try await bench.pool.execute("UPDATE live_feeds SET runner = 'another', lease_until = 'infinity'")
            bench.pass(10, stream)
            await #expect(throws: LiveSession.LeaseLost.self) { try await session.value }
            #expect(try await bench.rows() == [])
        }
    }

    @Test func subscriptionsComeAndGo() async throws {
        try await LiveBench.with { bench in
            try await bench.store.create(coin("ETHUSD"))
            try await bench.store.create(coin("NEVER"))
            try await bench.subscribe()
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(6, stream)
                try await bench.recorded(["12:00:05 v0 -"])
                try await bench.subscribe("ETHUSD")
                #expect(try await stream.watched.next() == "#ETHUSD")
                // It begins with the next full minute, so that its first minute is whole.
                stream.tell(try bench.trade("12:00:30", "1", symbol: "ETHUSD"))
                try await eventually("it is live") { try await bench.subscriptions.all(of: "scripted").map(\.state) == [.live, .live] }
                bench.pass(60, stream)
                try await bench.recorded(["12:01:05 v0 -"], "ETHUSD")
                stream.tell(.refused(symbol: "#ETHUSD", reason: "unknown symbol"))
                try await eventually("it is refused") { try await bench.subscriptions.all(of: "scripted").map(\.state) == [.live, .refused] }
                #expect(try await bench.subscriptions.delete(bench.id(), source: "scripted"))
                #expect(try await stream.unwatched.next() == "#BTCUSD")
                guard case .done = try await bench.subscriptions.put(bench.id("NEVER"), source: "scripted", symbol: "NEVER", barSeconds: nil) else {
                    throw TestSupportError("it was not subscribed")
                }
                try await eventually("it is refused") {
                    try await bench.subscriptions.all(of: "scripted").map(\.stateDetail) == ["unknown symbol", "not supported: that symbol"]
                }
                // Set again, the refused one is tried again.
                try await bench.subscribe("ETHUSD")
                #expect(try await stream.watched.next() == "#ETHUSD")
            }
        }
    }

    @Test func aSubscriptionThatChangesWhileAStepIsRecordedClosesNothingTwice() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            try await bench.watch(5)
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(6, stream)
                try await bench.recorded(["12:00:05 v0 -"])
                try await bench.announced(["5s@12:00:05: BTCUSD null"])
                // The next step is written, and cannot commit.
                _ = try await bench.superuser.execute("BEGIN")
                _ = try await bench.superuser.execute("LOCK TABLE live_announcements IN SHARE MODE")
                bench.pass(5, stream)
                try await eventually("the step waits") {
                    let waiting = try await bench.pool.query(
                        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'live_announcements'::regclass"
                    )
                    return try waiting.first?.column(0, as: Int.self) == 1
                }
                guard case .done = try await bench.subscriptions.put(bench.id(), source: "scripted", symbol: "#BTC", barSeconds: nil) else {
                    throw TestSupportError("it was not changed")
                }
                #expect(try await stream.watched.next() == "#BTC")
                try await eventually("it goes on") { try await bench.subscriptions.all(of: "scripted").map(\.state) == [.live] }
                _ = try await bench.superuser.execute("ROLLBACK")
                bench.pass(10, stream)
                try await eventually("it closes on") { try await bench.rows().contains("12:00:15 v0 -") }
                #expect(try await bench.rows().prefix(3) == ["12:00:05 v0 -", "12:00:10 v0 -", "12:00:15 v0 -"])
            }
        }
    }

    @Test func anInstrumentIsLiveFromOneSourceAndASymbolIsOneInstrument() async throws {
        try await LiveBench.with { bench in
            try await bench.store.create(coin("ETHUSD"))
            let made = try await bench.subscribe()
            #expect(try await bench.subscribe() == made)
            guard case .elsewhere("scripted") = try await bench.subscriptions.put(bench.id(), source: "other", symbol: "X", barSeconds: nil) else {
                throw TestSupportError("it is live twice")
            }
            let taken = try await bench.subscriptions.put(bench.id("ETHUSD"), source: "scripted", symbol: "#BTCUSD", barSeconds: nil)
            guard case .symbolTaken(by: "BTCUSD") = taken else { throw TestSupportError("the symbol stands for two") }
        }
    }

    @Test func theSourcesOwnBarsAreImported() async throws {
        try await LiveBench.with(heartbeat: nil) { bench in
            try await bench.subscribe(bars: 5)
            try await bench.watch(10)
            try await bench.running { stream in
                #expect(stream.kind == .bars(seconds: 5))
                try await bench.up(stream)
                let price = try #require(DecimalNumber("100"))
                bench.pass(5)
                let bar = SourceBar(
                    symbol: "#BTCUSD",
                    state: .complete,
                    start: at("2024-03-04T12:00:00Z"),
                    seconds: 5,
                    open: price,
                    high: price,
                    low: price,
                    close: price,
                    volume: price,
                    trades: 3
                )
                stream.tell(.bar(bar))
                stream.tell(.bar(bar))
                try await bench.recorded(["12:00:05 v0 100 100 100 100"])
                bench.pass(6)
                try await bench.recorded(["12:00:05 v0 100 100 100 100", "12:00:10 v0 -"])
                try await bench.announced(["10s@12:00:10: BTCUSD"])
                let row = try await bench.pool.query("SELECT DISTINCT origin, interval_seconds FROM tail_bars").first
                #expect(try row?.column(0, as: String.self) == "imported")
            }
        }
    }

    @Test func aRecordWhoseFateIsUnknownIsNotRepeated() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            let id = try await bench.id()
            #expect(try await bench.live.claim(feed: "scripted", runner: "me", leaseSeconds: 60))
            let start = at("2024-03-04T12:00:00Z").microseconds
            let series = SeriesKey(intervalSeconds: 1, side: .trade, origin: .derived)
            let close = LiveClose(instrumentID: id, series: series, start: start, end: start + 1_000_000, version: 0, prices: nil)
            let step = LiveStep(closes: [close])
            #expect(try await !bench.subscriptions.isRecorded(step, feed: "scripted"))
            _ = try await bench.live.record(step, feed: "scripted", runner: "me")
            #expect(try await bench.subscriptions.isRecorded(step, feed: "scripted"))
            // A seal takes the rows out of the tail, and changes nothing of that.
            let cpu = try CPUPool(threads: 1)
            defer { cpu.stop() }
            let seals = LiveSeals(pool: bench.pool, cpu: cpu)
            for part in try await seals.unsealed() { #expect(try await seals.seal(part)) }
            #expect(try await bench.subscriptions.isRecorded(step, feed: "scripted"))
            #expect(try await !bench.subscriptions.isRecorded(LiveStep(closes: [close]), feed: "scripted"))
        }
    }
}
