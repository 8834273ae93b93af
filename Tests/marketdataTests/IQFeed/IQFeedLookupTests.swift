import Bars
import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// Gives the replies one after the other; the last one stays.
private func script(_ replies: [IQFeedSimulator.Reply]) -> @Sendable (IQFeedSimulator.Request) -> IQFeedSimulator.Reply {
    let rest = Mutex(replies)
    return { _ in rest.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] } }
}

@Suite(.timeLimit(.minutes(10))) struct IQFeedLookupTests {
    /// A file's form of rows: what the client gives for an answer.
    private let three = iqfeedRows(3)

    @Test(arguments: [["6.2", "6.1"], ["6.1"]])
    func anAnswerIsGivenAsAFileOfItWouldHoldIt(_ versions: [String]) async throws {
        try await IQFeedBench.with(versions: versions) { bench in
            bench.simulator.reply { _ in .answer(three) }
            let lookup = bench.lookup()
            #expect(try await lookup.rows(iqfeedCommand()) == three)
            let request = try await bench.simulator.requested.next()
            #expect(request.id?.hasPrefix("R") == true)
            await lookup.stop()
        }
    }

    @Test func answersThatComeMixedUpAreToldApart() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.reply { request in .held(iqfeedRows(50, first: Int(request.fields[0].dropFirst()) ?? 0)) }
            let lookup = bench.lookup {
                $0.sockets = 1
                $0.requestsPerSecond = 1_000
            }
            let (answers, _) = try await bench.passingPauses {
                try await withThrowingTaskGroup(of: (Int, [UInt8]?).self) { group in
                    for number in [100, 300, 500, 700] {
                        group.addTask { (number, try await lookup.rows(iqfeedCommand("S\(number)"))) }
                    }
                    for _ in 0..<4 { _ = try await bench.simulator.requested.next() }
                    await bench.simulator.sendHeld()
                    return try await group.reduce(into: [Int: [UInt8]]()) { $0[$1.0] = $1.1 }
                }
            }
            for number in [100, 300, 500, 700] { #expect(answers[number] == iqfeedRows(50, first: number)) }
            #expect(await bench.simulator.connections(at: .lookup) == 1)
            await lookup.stop()
        }
    }

    @Test func noDataIsAnEmptyAnswer() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.reply { _ in .noData }
            let lookup = bench.lookup()
            let rows = try await lookup.rows(iqfeedCommand())
            #expect(rows == nil)
            #expect(await lookup.currentRecord().lastFailure == nil)
            #expect(bench.simulator.requested.pendingCount == 1)
            await lookup.stop()
        }
    }

    @Test(arguments: [
        (IQFeedSimulator.Reply.syntaxError, SourceError.refused(.syntax, "!SYNTAX_ERROR!")),
        (.error("!SYNTAX_ERROR!"), .refused(.syntax, "!SYNTAX_ERROR!")),
        (.error("Unauthorized user ID."), .refused(.unauthorized, "Unauthorized user ID.")),
        (.error("Invalid number of parameters."), .refused(.other, "Invalid number of parameters.")),
    ])
    func aRefusalIsToldAtOnce(_ reply: IQFeedSimulator.Reply, _ error: SourceError) async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.reply { _ in reply }
            let lookup = bench.lookup()
            await #expect(throws: error) { try await lookup.rows(iqfeedCommand()) }
            #expect(bench.simulator.requested.pendingCount == 1)
            // The connection is as good as before.
            bench.simulator.reply { _ in .answer(three) }
            let (rows, _) = try await bench.passingPauses { try await lookup.rows(iqfeedCommand()) }
            #expect(rows == three)
            #expect(bench.simulator.connected.pendingCount == 1)
            await lookup.stop()
        }
    }

    @Test func theVendorsOwnTroubleIsNotNoData() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.reply(script([.error("Could not connect to History socket."), .answer(three)]))
            let lookup = bench.lookup()
            let (rows, _) = try await bench.passingPauses { try await lookup.rows(iqfeedCommand()) }
            #expect(rows == three)
            await lookup.stop()
        }
    }

    @Test(arguments: [
        IQFeedSimulator.Reply.cut(iqfeedRows(3), afterLines: 2), .cut(iqfeedRows(3), afterLines: 0), .end(iqfeedRows(3), afterLines: 2),
        .cut(iqfeedRows(3), afterLines: 3), .end(iqfeedRows(3), afterLines: 0), .oldForm(iqfeedRows(3)),
    ])
    func halfAnAnswerIsNeverAnAnswer(_ reply: IQFeedSimulator.Reply) async throws {
        try await IQFeedBench.with { bench in
            let lookup = bench.lookup()
            // Once broken, then whole: the whole one is given, and nothing of the first.
            bench.simulator.reply(script([reply, .answer(three)]))
            let (rows, pauses) = try await bench.passingPauses { try await lookup.rows(iqfeedCommand()) }
            #expect(rows == three)
            #expect(pauses.contains(.milliseconds(500)))
            // Always broken: an error, after three tries that came ever more slowly.
            bench.simulator.reply { _ in reply }
            let (outcome, slower) = try await bench.passingPauses { () async throws -> SourceError? in
                do {
                    _ = try await lookup.rows(iqfeedCommand())
                    return nil
                } catch let error as SourceError { return error }
            }
            guard case .broken = outcome else {
                Issue.record("the outcome is \(String(describing: outcome))")
                return
            }
            #expect(slower.filter { $0 >= .milliseconds(500) } == [.milliseconds(500), .seconds(1)])
            #expect(bench.simulator.requested.pendingCount == 5)
            #expect(await lookup.currentRecord().pendingBytes == 0)
            await lookup.stop()
        }
    }

    @Test func aSilentHangEndsTheConnectionAndIsTriedAgain() async throws {
        try await IQFeedBench.with { bench in
            let lookup = bench.lookup()
            bench.simulator.reply(script([.hang(three, afterLines: 2), .answer(three)]))
            async let rows = lookup.rows(iqfeedCommand())
            _ = try await bench.simulator.requested.next()
            try await eventually("two rows are here") { await lookup.currentRecord().pendingBytes > 100 }
            bench.time.advance(by: .seconds(29))
            #expect(await lookup.currentRecord().underWay == 1)
            bench.time.advance(by: .seconds(1))
            // The back-off before the next connection.
            while try await bench.time.fellAsleep.next() != .milliseconds(500) {}
            bench.time.advance(by: .milliseconds(500))
            #expect(try await rows == three)
            #expect(await lookup.currentRecord().lastFailure?.contains("silent") == true)
            await lookup.stop()
        }
    }

    @Test func slowLinesAreNoHang() async throws {
        try await IQFeedBench.with { bench in
            let lookup = bench.lookup()
            bench.simulator.reply { _ in .slow(three) }
            async let rows = lookup.rows(iqfeedCommand())
            _ = try await bench.simulator.requested.next()
            for _ in 0..<3 {
                let before = await lookup.currentRecord().pendingBytes
                await bench.simulator.sendSlowLine()
                try await eventually("the row is here") { await lookup.currentRecord().pendingBytes > before }
                bench.time.advance(by: .seconds(25))
            }
            await bench.simulator.sendSlowLine()
            #expect(try await rows == three)
            #expect(await lookup.currentRecord().lastFailure == nil)
            await lookup.stop()
        }
    }

    @Test func aClientOfAnotherAgeIsNamed() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.setFault(.speaks("5.1"), at: .lookup)
            let lookup = bench.lookup { $0.attempts = 1 }
            do {
                _ = try await lookup.rows(iqfeedCommand())
                Issue.record("it answered")
            } catch let error as SourceError {
                guard case .unavailable(let why) = error else { throw error }
                #expect(why.contains("6.2, 6.1"))
            }
            #expect(bench.simulator.requested.pendingCount == 0)
            await lookup.stop()
        }
    }

    @Test func aStormOfHangUpsIsNotAnsweredWithAStorm() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.setFault(.hangsUp, at: .lookup)
            let lookup = bench.lookup()
            let (failed, pauses) = try await bench.passingPauses { () async throws -> Int in
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for _ in 0..<20 { group.addTask { (try? await lookup.rows(iqfeedCommand())) == nil } }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
            }
            #expect(failed == 20)
            // Twenty requests, three tries each: those of one round share a connection that did not come about.
            #expect(bench.simulator.connected.pendingCount <= 10)
            #expect(pauses.filter { $0 >= .milliseconds(500) }.contains(.seconds(1)))
            // The storm is over: the next request is answered.
            bench.simulator.setFault(nil, at: .lookup)
            bench.simulator.reply { _ in .answer(three) }
            let (rows, _) = try await bench.passingPauses { try await lookup.rows(iqfeedCommand()) }
            #expect(rows == three)
            await lookup.stop()
        }
    }

    @Test func noConnectionIsAClearNoneAfterFiveSeconds() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.setFault(.silent, at: .lookup)
            let asked = Task { try await bench.connector.connect(.lookup) }
            _ = try await bench.simulator.connected.next()
            while try await bench.time.fellAsleep.next() != .seconds(5) {}
            bench.time.advance(by: .seconds(5))
            await #expect(throws: SourceError.unavailable("the client program gave no connection (lookup) within 5.0 seconds")) {
                try await asked.value
            }
            try await eventually("the connection is given back") { await bench.simulator.connections(at: .lookup) == 0 }
        }
    }

    @Test func requestsArePaced() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.reply { _ in .answer(three) }
            let lookup = bench.lookup { $0.requestsPerSecond = 2 }
            #expect(try await lookup.rows(iqfeedCommand()) == three)
            let (answers, pauses) = try await bench.passingPauses { () async throws -> [[UInt8]?] in
                var answers: [[UInt8]?] = []
                for _ in 0..<3 { answers.append(try await lookup.rows(iqfeedCommand())) }
                return answers
            }
            #expect(answers == [three, three, three])
            #expect(pauses == [.milliseconds(500), .milliseconds(500), .milliseconds(500)])
            await lookup.stop()
        }
    }

    @Test func socketsAndRequestsOnThemAreBounded() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.reply { _ in .held(three) }
            let lookup = bench.lookup {
                $0.sockets = 2
                $0.requestsPerSocket = 2
                $0.waiting = 2
                $0.requestsPerSecond = 1_000
            }
            _ = try await bench.passingPauses {
                try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
                    for _ in 0..<4 { group.addTask { try await lookup.rows(iqfeedCommand()) } }
                    for _ in 0..<4 { _ = try await bench.simulator.requested.next() }
                    #expect(await bench.simulator.connections(at: .lookup) == 2)
                    for _ in 0..<2 { group.addTask { try await lookup.rows(iqfeedCommand()) } }
                    try await eventually("two wait") { await lookup.waitingCount == 2 }
                    await #expect(throws: SourceError.busy) { try await lookup.rows(iqfeedCommand()) }
                    await bench.simulator.sendHeld()
                    for _ in 0..<2 { _ = try await bench.simulator.requested.next() }
                    await bench.simulator.sendHeld()
                    for try await rows in group { #expect(rows == three) }
                }
            }
            await lookup.stop()
        }
    }

    @Test func anErrorThatNamesNobodyIsNobodys() async throws {
        try await IQFeedBench.with { bench in
            // Two under way, then an error without an id: neither may be told that it was refused.
            let replies = Mutex(0)
            bench.simulator.reply { _ in
                let number = replies.withLock { count -> Int in
                    count += 1
                    return count
                }
                return number == 1 ? .hang(three, afterLines: 1) : number == 2 ? .syntaxError : .answer(three)
            }
            let lookup = bench.lookup {
                $0.sockets = 1
                $0.requestsPerSecond = 1_000
            }
            let (answers, _) = try await bench.passingPauses {
                async let first = lookup.rows(iqfeedCommand())
                _ = try await bench.simulator.requested.next()
                async let second = lookup.rows(iqfeedCommand())
                return try await [first, second]
            }
            #expect(answers == [three, three])
            await lookup.stop()
        }
    }

    @Test func whoGivesUpLeavesNothingBehind() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.reply(script([.hang(three, afterLines: 2), .answer(three)]))
            let lookup = bench.lookup { $0.requestsPerSecond = 1_000 }
            let asked = Task { try await lookup.rows(iqfeedCommand()) }
            _ = try await bench.simulator.requested.next()
            try await eventually("two rows are here") { await lookup.currentRecord().pendingBytes > 100 }
            asked.cancel()
            await #expect(throws: CancellationError.self) { try await asked.value }
            #expect(await lookup.currentRecord().pendingBytes == 0)
            #expect(await lookup.currentRecord().underWay == 0)
            let (rows, _) = try await bench.passingPauses { try await lookup.rows(iqfeedCommand()) }
            #expect(rows == three)
            await lookup.stop()
        }
    }

    @Test func anAnswerWithoutAnEndIsTooLargeInTheEnd() async throws {
        try await IQFeedBench.with { bench in
            bench.simulator.reply { _ in .answer(iqfeedRows(1_000)) }
            let lookup = bench.lookup { $0.answerBytes = 10_000 }
            await #expect(throws: SourceError.tooLarge(maximumBytes: 10_000)) { try await lookup.rows(iqfeedCommand()) }
            #expect(await lookup.currentRecord().pendingBytes == 0)
            await lookup.stop()
        }
    }
}
