import Bars
import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

private func decimal(_ text: String) -> DecimalNumber? {
    var text = text
    return text.withUTF8 { DecimalNumber($0) }
}

private typealias Running = RunningStream<IQFeedBench>

extension RunningStream<IQFeedBench> {
    /// Waits until that line was heard at the door.
    fileprivate func hears(_ line: String) async throws {
        while try await bench.simulator.heard.next().line != line {}
    }

    /// Moves the clock on for the next pause before a reconnect.
    fileprivate func passPause(_ pause: Duration) async throws {
        while try await bench.time.fellAsleep.next() != pause {}
        bench.time.advance(by: pause)
    }
}

private let backoff = Backoff(first: .milliseconds(500), longest: .seconds(4)) { 0.5 }
private let fields = IQFeedLevel1.wantedFields.joined(separator: ",")

@Suite(.timeLimit(.minutes(10))) struct IQFeedLevel1Tests {
    private func level1(_ watching: [String] = ["NEPT"], _ body: @escaping @Sendable (Running) async throws -> Void) async throws {
        try await IQFeedBench.with(now: "2021-03-26T13:30:00Z") { bench in
            let stream = IQFeedLevel1(connector: bench.connector, clock: try IQFeedClock(), backoff: backoff)
            for symbol in watching { try await stream.watch(symbol) }
            try await Running(bench: bench, stream: stream).run(body)
        }
    }

    /// The greeting and the beginning.
    private func begin(_ running: Running, watching: [String] = ["NEPT"]) async throws {
        try await running.hears("S,SELECT UPDATE FIELDS,\(fields)")
        for symbol in watching { try await running.hears("w\(symbol)") }
        #expect(try await running.next() == .upstream(isConnected: true))
        #expect(try await running.next() == .live)
    }

    private func trade(_ time: String?, price: String, size: String, qualifies: Bool, total: String = "4813134") throws -> SourceEvent {
        .trade(
            SourceTrade(
                symbol: "NEPT",
                time: time.map(at),
                price: try #require(decimal(price)),
                size: try #require(decimal(size)),
                qualifies: qualifies,
                totalVolume: decimal(total)
            )
        )
    }

    private let quote = SourceEvent.quote(
        SourceQuote(symbol: "NEPT", bid: decimal("1.5100"), bidSize: decimal("100"), ask: decimal("1.5400"), askSize: decimal("200"))
    )

    @Test func tradesAndQuotesAsTheyHappen() async throws {
        try await level1 { running in
            try await begin(running)
            let simulator = running.bench.simulator
            await simulator.send("P,NEPT,1.5300,10,03/26/2021,09:29:59.000001,4812896,1.5100,100,1.5400,200,Cbaohlc", to: .level1)
            await simulator.send("T,20210326 09:30:00", to: .level1)
            await simulator.send("Q,NEPT,1.5400,238,03/26/2021,09:30:00.254017,4813134,1.5100,100,1.5400,200,C", to: .level1)
            await simulator.send("Q,NEPT,1.5400,9,03/26/2021,09:30:00.254018,4813134,1.5100,100,1.5400,200,Oba", to: .level1)
            await simulator.send("Q,NEPT,1.5400,9,03/26/2021,09:30:00.254018,4813134,1.5100,100,1.5400,200,b", to: .level1)
            await simulator.send("Q,NEPT,1.5400,9,03/26/2021,09:30:00.254018,4813134,1.5100,100,1.5400,200,v", to: .level1)
            await simulator.send("Q,NEPT,1.5400,5,,,4813134,1.5100,100,1.5400,200,E", to: .level1)
            await simulator.send("Q,NEPT,,,,,,,,,,C", to: .level1)
            await simulator.send("C,NEPT,whatever", to: .level1)
            await simulator.send("F,NEPT,5,31.2", to: .level1)
            await simulator.send("S,SERVER DISCONNECTED", to: .level1)
            guard case .quote(let standing) = quote else { return }
            #expect(try await running.next() == .summary(standing, last: decimal("1.5300")))
            #expect(try await running.next() == .clock(at("2021-03-26T13:30:00Z")))
            #expect(try await running.next() == trade("2021-03-26T13:30:00.254017Z", price: "1.5400", size: "238", qualifies: true))
            #expect(try await running.next() == trade("2021-03-26T13:30:00.254018Z", price: "1.5400", size: "9", qualifies: false))
            #expect(try await running.next() == quote)
            #expect(try await running.next() == quote)
            #expect(try await running.next() == trade(nil, price: "1.5400", size: "5", qualifies: true))
            #expect(try await running.next() == .correction(symbol: "NEPT"))
            #expect(try await running.next() == .upstream(isConnected: false))
        }
    }

    @Test func theClientProgramSaysWhichFieldIsWhere() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.setFieldOrder([
                "Symbol", "Message Contents", "Total Volume", "Most Recent Trade Size", "Most Recent Trade", "Most Recent Trade Time",
                "Most Recent Trade Date",
            ])
            let stream = IQFeedLevel1(connector: bench.connector, clock: try IQFeedClock(), backoff: backoff)
            try await stream.watch("NEPT")
            try await Running(bench: bench, stream: stream).run { running in
                try await begin(running)
                await bench.simulator.send("Q,NEPT,Cb,4813134,238,1.5400,09:30:00.254017,03/26/2021", to: .level1)
                #expect(try await running.next() == trade("2021-03-26T13:30:00.254017Z", price: "1.5400", size: "238", qualifies: true))
                // Prices of quotes were not among the fields.
                #expect(try await running.next() == .quote(SourceQuote(symbol: "NEPT")))
            }
        }
    }

    @Test func whatIsRefusedIsToldAndNotAskedForAgain() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.setSymbols(unknown: ["NOPE"])
            let stream = IQFeedLevel1(connector: bench.connector, clock: try IQFeedClock(), backoff: backoff)
            for symbol in ["AAPL", "MANY", "NOPE"] { try await stream.watch(symbol) }
            try await Running(bench: bench, stream: stream).run { running in
                try await begin(running, watching: ["AAPL", "MANY", "NOPE"])
                #expect(try await running.next() == .refused(symbol: "NOPE", reason: "unknown symbol"))
                await bench.simulator.send("S,SYMBOL LIMIT REACHED,MANY", to: .level1)
                #expect(try await running.next() == .refused(symbol: "MANY", reason: "the subscription's number of symbols is reached"))
                // Watched and unwatched while it runs.
                try await stream.watch("SPY")
                try await running.hears("wSPY")
                await stream.unwatch("SPY")
                try await running.hears("rSPY")
                await #expect(throws: SourceError.self) { try await stream.watch("SPY\r\nS,DISCONNECT") }
                await bench.simulator.hangUp(.level1)
                guard case .hole(_, .disconnected) = try await running.next() else {
                    Issue.record("no hole")
                    return
                }
                try await running.passPause(.milliseconds(500))
                try await running.hears("S,SELECT UPDATE FIELDS,\(fields)")
                #expect(try await bench.simulator.heard.next().line == "wAAPL")
                #expect(try await running.next() == .upstream(isConnected: true))
                #expect(try await running.next() == .live)
                #expect(bench.simulator.heard.pendingCount == 0)
            }
        }
    }

    @Test func silenceIsAHoleAndEverythingIsWatchedAgain() async throws {
        try await level1(["NEPT", "SPY"]) { running in
            try await begin(running, watching: ["NEPT", "SPY"])
            let simulator = running.bench.simulator
            running.bench.time.advance(by: .seconds(4))
            await simulator.send("T,20210326 09:30:04", to: .level1)
            #expect(try await running.next() == .clock(at("2021-03-26T13:30:04Z")))
            running.bench.time.advance(by: .seconds(4))
            // A cut line is no sign of life.
            await simulator.sendPiece("T,2021", to: .level1)
            while try await running.bench.time.fellAsleep.next() != .seconds(1) {}
            running.bench.time.advance(by: .seconds(1))
            guard case .hole(let since, .disconnected(let reason)) = try await running.next() else {
                Issue.record("no hole")
                return
            }
            #expect(since == at("2021-03-26T13:30:04Z"))
            #expect(reason.contains("silent"))
            try await running.passPause(.milliseconds(500))
            try await begin(running, watching: ["NEPT", "SPY"])
        }
    }

    @Test func aStormOfHangUpsIsAnsweredEverMoreSlowly() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.setFault(.hangsUp, at: .level1)
            let stream = IQFeedLevel1(connector: bench.connector, clock: try IQFeedClock(), backoff: backoff)
            try await stream.watch("NEPT")
            try await Running(bench: bench, stream: stream).run { running in
                for pause in [Duration.milliseconds(500), .seconds(1), .seconds(2), .seconds(4)] { try await running.passPause(pause) }
                // The storm is over before the last pause is.
                while try await bench.time.fellAsleep.next() != .seconds(4) {}
                bench.simulator.setFault(nil, at: .level1)
                bench.time.advance(by: .seconds(4))
                try await begin(running)
            }
        }
    }

    @Test func aSlowReaderIsToldOfItsHole() async throws {
        let events = SourceEvents(capacity: 3)
        func clock(_ second: Int64) -> SourceEvent { .clock(Timestamp(seconds: second)) }
        for second in 1...7 as ClosedRange<Int64> { events.push(clock(second), now: Timestamp(seconds: second)) }
        let iterator = events.makeAsyncIterator()
        for second in 1...3 as ClosedRange<Int64> { #expect(await iterator.next() == clock(second)) }
        // What comes while the hole has not been told belongs to it.
        events.push(clock(8), now: Timestamp(seconds: 8))
        #expect(await iterator.next() == .hole(since: Timestamp(seconds: 4), .slowReader(dropped: 5)))
        events.push(clock(9), now: Timestamp(seconds: 9))
        #expect(await iterator.next() == clock(9))
        events.finish()
        #expect(await iterator.next() == nil)
    }

    @Test func thePlaceInTheQueueIsGivenBack() async throws {
        let events = SourceEvents(capacity: 10)
        let iterator = events.makeAsyncIterator()
        for round in 0..<10_000 as Range<Int64> {
            events.push(.clock(Timestamp(seconds: round)), now: .now())
            #expect(await iterator.next() == .clock(Timestamp(seconds: round)))
        }
    }
}

@Suite(.timeLimit(.minutes(10))) struct IQFeedBarStreamTests {
    private func bars(_ watching: [String] = ["NEPT"], _ body: @escaping @Sendable (Running) async throws -> Void) async throws {
        try await IQFeedBench.with(now: "2021-03-26T13:30:00Z") { bench in
            bench.simulator.setSymbols(unknown: ["NOPE"])
            let stream = try IQFeedBarStream(
                connector: bench.connector,
                clock: try IQFeedClock(),
                seconds: 5,
                silence: .seconds(12),
                backoff: backoff
            )
            for symbol in watching { try await stream.watch(symbol) }
            try await Running(bench: bench, stream: stream).run(body)
        }
    }

    private func bar(_ state: SourceBar.State, _ start: String, close: String = "1.55") throws -> SourceEvent {
        .bar(
            SourceBar(
                symbol: "NEPT",
                state: state,
                start: at(start),
                seconds: 5,
                open: try #require(decimal("1.50")),
                high: try #require(decimal("1.60")),
                low: try #require(decimal("1.40")),
                close: try #require(decimal(close)),
                volume: decimal("700"),
                trades: 3
            )
        )
    }

    @Test func barsOfHistoryCompleteAndRunning() async throws {
        try await bars(["NEPT", "NOPE"]) { running in
            let simulator = running.bench.simulator
            try await running.hears("BW,NEPT,5,,,,,,B-NEPT,s,,1")
            try await running.hears("BW,NOPE,5,,,,,,B-NOPE,s,,1")
            #expect(try await running.next() == .upstream(isConnected: true))
            #expect(try await running.next() == .live)
            #expect(try await running.next() == .refused(symbol: "NOPE", reason: "unknown symbol"))
            await simulator.send("B-NEPT,BH,NEPT,2021-03-26 09:29:50,1.50,1.60,1.40,1.55,10000,700,3,", to: .derivatives)
            await simulator.send("B-NEPT,BC,NEPT,2021-03-26 09:29:55,1.50,1.60,1.40,1.55,10700,700,3,", to: .derivatives)
            await simulator.send("B-NEPT,BU,NEPT,2021-03-26 09:30:00,1.50,1.60,1.40,1.57,11400,700,3,", to: .derivatives)
            await simulator.send("B-SPY,BC,SPY,2021-03-26 09:29:55,1.50,1.60,1.40,1.55,10700,700,3,", to: .derivatives)
            await simulator.send("B-NEPT,BC,NEPT,2021-03-26 09:30:00,1.50,x,1.40,1.55,10700,700,3,", to: .derivatives)
            await simulator.send("B-NEPT,BC,NEPT,2021-03-26 09:30:00,1.50,1.60,1.40,1.58,10700,700,3,", to: .derivatives)
            #expect(try await running.next() == bar(.history, "2021-03-26T13:29:50Z"))
            #expect(try await running.next() == bar(.complete, "2021-03-26T13:29:55Z"))
            #expect(try await running.next() == bar(.running, "2021-03-26T13:30:00Z", close: "1.57"))
            #expect(try await running.next() == bar(.complete, "2021-03-26T13:30:00Z", close: "1.58"))
        }
    }

    @Test func afterAReconnectTheHoleIsAskedForAndNothingIsToldTwice() async throws {
        try await bars { running in
            let simulator = running.bench.simulator
            try await running.hears("BW,NEPT,5,,,,,,B-NEPT,s,,1")
            await simulator.send("B-NEPT,BC,NEPT,2021-03-26 09:30:05,1.50,1.60,1.40,1.55,10700,700,3,", to: .derivatives)
            for _ in 0..<2 { _ = try await running.next() }
            #expect(try await running.next() == bar(.complete, "2021-03-26T13:30:05Z"))
            await simulator.hangUp(.derivatives)
            guard case .hole(at("2021-03-26T13:30:00Z"), .disconnected) = try await running.next() else {
                Issue.record("no hole")
                return
            }
            try await running.passPause(.milliseconds(500))
            try await running.hears("BW,NEPT,5,20210326 093005,,,,,B-NEPT,s,,1")
            for second in ["05", "10", "15"] {
                await simulator.send("B-NEPT,BH,NEPT,2021-03-26 09:30:\(second),1.50,1.60,1.40,1.55,10700,700,3,", to: .derivatives)
            }
            for _ in 0..<2 { _ = try await running.next() }
            #expect(try await running.next() == bar(.history, "2021-03-26T13:30:10Z"))
            #expect(try await running.next() == bar(.history, "2021-03-26T13:30:15Z"))
            await running.stream.unwatch("NEPT")
            try await running.hears("BR,NEPT,B-NEPT")
        }
    }

    @Test func aDoorWithoutAClockIsAsked() async throws {
        try await bars { running in
            let time = running.bench.time
            let stream = try #require(running.stream as? IQFeedBarStream)
            try await running.hears("BW,NEPT,5,,,,,,B-NEPT,s,,1")
            for _ in 0..<2 { _ = try await running.next() }
            // It answers what it is asked each four seconds, so it lives though nothing is traded.
            for _ in 0..<6 {
                while try await time.fellAsleep.next() != .seconds(4) {}
                time.advance(by: .seconds(4))
                try await running.hears("S,REQUEST WATCHES")
                try await eventually("the answer is read") { await stream.lastHeardAt == time.now() }
            }
            running.bench.simulator.setFault(.silent, at: .derivatives)
            var hole: SourceEvent?
            while hole == nil {
                time.advance(by: .seconds(1))
                try await eventually("the loop has turned") { true }
                if running.events.pendingCount > 0 { hole = try await running.next() }
            }
            guard case .hole(_, .disconnected(let reason)) = hole else {
                Issue.record("it is \(String(describing: hole))")
                return
            }
            #expect(reason.contains("silent"))
        }
    }

    @Test func barsThatThereAreNot() async throws {
        try await IQFeedBench.with { bench in
            let source = try bench.source()
            #expect(throws: SourceError.self) { try source.stream(.bars(seconds: 301)) }
            #expect(try source.stream(.bars(seconds: 60)) is IQFeedBarStream)
            #expect(try source.stream(.trades) is IQFeedLevel1)
        }
    }
}
