import Bars
import Contracts
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// What a rule's answers may say: nothing of a bar that still grows, nothing for another symbol, nothing of what was answered before.
@Suite(.serialized, .enabled(if: TestServers.hasPostgres && TestServers.hasRedis), .timeLimit(.minutes(10))) struct KeepFenceTests {
    private func reread(_ bench: AcquisitionBench, _ rule: KeepRule) async throws -> KeepRule { try #require(try await bench.rules.rule(rule.id)) }

    /// A day that grows, asked for in the middle of its minutes: what was not over is had by a later round.
    @Test func noRoundLosesTheBarThatIsNotOver() async throws {
        try await AcquisitionBench.with { bench in
            let time = ManualTimeSource(at("2021-03-26T13:32:17Z"))
            let source = AnsweringSource { request in
                let (now, minute) = (time.now(), Duration.seconds(60))
                var rows = AnswerRows()
                var start = request.range.lowerBound.floored(to: minute)
                // The running minute is part of it, the one before now and then has no trade yet.
                while start <= now {
                    let price = try #require(DecimalNumber("\(100 + start.seconds / 60 % 50)"))
                    rows.append(
                        AnswerRow(start: start, end: start + minute, open: price, high: price, low: price, close: price, volume: price, trades: 3)
                    )
                    start += minute
                }
                return try rows.file(of: request, interval: .seconds(60), assetClass: .equity, askedAt: now, notes: [])
            }
            let replica = try await bench.replica(asking: source, time: time)
            let rule = try await bench.rule(from: at("2021-03-26T13:30:00Z"))
            for seconds in [546, 537] {
                #expect(await replica.keeper.round())
                #expect(try await reread(bench, rule).lastRun?.outcome == "fetched")
                time.advance(by: .seconds(seconds))
                _ = try await bench.rules.runNow(rule.id)
            }
            #expect(await replica.keeper.round())
            // It is 13:50:20 by now.
            let end = at("2021-03-26T14:00:00Z")
            let bars = try await replica.bench.reader.read(
                BarRequest(symbol: "NEPT", interval: .seconds(60), start: rule.backfillFrom, end: end),
                for: .platform
            ).bars
            #expect(Array(bars.starts) == (0..<20).map { rule.backfillFrom.microseconds + $0 * 60_000_000 })
            #expect(try await bench.count("chunks WHERE edition > 1") == 0)
            #expect(try await bench.count("chunks WHERE revision = 3") == 1)
        }
    }

    /// An exchange leaves a minute without trades out, or says that it has none: it may have some yet.
    @Test func aBarThatHasNoTradeYetIsNotSpokenFor() throws {
        let start = at("2021-03-26T13:30:00Z")
        var rows = AnswerRows()
        let one = try #require(DecimalNumber("1"))
        rows.append(AnswerRow(start: start, end: start + .seconds(60), open: one, high: one, low: one, close: one, trades: 1))
        rows.append(AnswerRow(start: start + .seconds(120), end: start + .seconds(180), open: one, high: one, low: one, close: one, trades: 0))
        let request = HistoryRequest(symbol: "X", instrument: "X", kind: .bars(.seconds(60)), range: start..<(start + .seconds(3_600)))
        let file = try #require(
            try rows.file(of: request, interval: .seconds(60), assetClass: .crypto, askedAt: start + .seconds(150), notes: [])
        )
        #expect(file.series.first?.coverage == start.microseconds..<(start + .seconds(85)).microseconds)
    }

    @Test func monthsAndDaysMayBeLongerThanTheyAreCalled() throws {
        let now = at("2021-04-01T00:00:00Z")
        func settled(_ kind: String) throws -> Timestamp {
            now - .seconds(try #require(HistoryRequest.Kind(text: kind)).longestSeconds)
        }
        // The month of March begins at midnight and has 31 days; none that begins later is over.
        #expect(try settled("1M") <= at("2021-03-01T00:00:00Z"))
        #expect(try settled("1d") == at("2021-03-30T23:00:00Z"))
        #expect(try settled("1w") == at("2021-03-24T23:00:00Z"))
        #expect(try settled("1h") == at("2021-03-31T23:00:00Z"))
        #expect(try settled("tick") == at("2021-03-31T23:59:59Z"))
    }

    @Test func anAnswerForTheOldSymbolIsDropped() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule()
            let replica = try await bench.replica()
            bench.simulator.reply { heldMinutes($0) }
            async let reading = replica.readMarch()
            _ = try await bench.simulator.requested.next()
            let changed = try #require(try await bench.rules.change(rule.id, KeepStore.Change(sourceSymbol: "NEPTUNE")))
            await bench.simulator.sendHeld()
            #expect(try await reading.closes.isEmpty)
            #expect(try await bench.count("chunks") == 0)
            // Nor is what the old symbol has none of, or nothing older of, said of the new one.
            let march = at("2021-03-01T00:00:00Z")..<at("2021-04-01T00:00:00Z")
            try await bench.rules.remember([march], of: rule)
            try await bench.rules.reached(march.lowerBound, of: rule)
            #expect(try await bench.rules.missing(rule, in: march, now: Timestamp.now()).isEmpty)
            let after = try await reread(bench, rule)
            #expect(after.spokenFor.ranges.isEmpty && after.reachFrom == nil)
            // They are different questions, which nobody answers with one another's answer.
            #expect(FetchSlot(of: rule, at: march.lowerBound) != FetchSlot(of: changed, at: march.lowerBound))
            bench.simulator.reply { $0.fields[0] == "NEPTUNE" ? iqfeedMinutes($0) : .noData }
            replica.first.forget("NEPT")
            #expect(try await replica.readMarch().closes.count == 115)
        }
    }

    /// Whoever changes a rule, or wants it to run, while it runs, need not wait until its time comes again.
    @Test func whatIsWantedDuringARunIsDoneAfterIt() async throws {
        try await AcquisitionBench.with { bench in
            let made = try await bench.rule()
            func run(_ meanwhile: () async throws -> Void) async throws -> Timestamp {
                try await bench.superuser.execute("UPDATE keep_rules SET next_due_at = now() - interval '1 s'")
                let claimed = try #require(try await bench.rules.claim(runner: "one", leaseSeconds: 60))
                try await meanwhile()
                try await bench.rules.finish(claimed, runner: "one", report: FetchReport(), outcome: "unchanged", failures: 0, pauseSeconds: nil)
                return try await reread(bench, made).nextDueAt
            }
            let undisturbed = try await run {}
            #expect(undisturbed > Timestamp.now() + .seconds(1_800))
            let respelled = try await run { _ = try await bench.rules.change(made.id, KeepStore.Change(sourceSymbol: "NEPTUNE")) }
            #expect(respelled <= Timestamp.now())
            let wanted = try await run { _ = try await bench.rules.runNow(made.id) }
            #expect(wanted <= Timestamp.now())
            let slower = try await run { _ = try await bench.rules.change(made.id, KeepStore.Change(everySeconds: 7_200)) }
            #expect(slower > Timestamp.now() + .seconds(3_700))
        }
    }

    /// Of the time before a rule, what it brings is history; of the time since, it was not known when it happened.
    @Test func whatCameLateIsNotSaidToHaveBeenKnown() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            try await bench.superuser.execute("UPDATE keep_rules SET created_at = '2021-03-25T00:00:00Z'")
            let replica = try await bench.replica()
            bench.simulator.reply { iqfeedMinutes($0) }
            let april = at("2021-04-02T00:00:00Z")
            #expect(try await replica.readMarch().closes.count == 115)
            #expect(try await bench.count("chunks WHERE day < '2021-03-25' AND recorded_at = '-infinity'") == 18)
            #expect(try await bench.count("chunks WHERE day >= '2021-03-25' AND recorded_at > now() - interval '1 hour'") == 5)
            #expect(try await bench.count("chunks WHERE edition > 1") == 0)
            #expect(try await replica.bench.closes("NEPT", "1m") { $0.asOf = april }.count == 90)
            #expect(try await replica.bench.closes("NEPT", "1m") { $0.asOf = Timestamp.now() }.count == 115)
        }
    }

    /// And a day that grows has said what it said.
    @Test func whatWasAnsweredAsOfAMomentStays() async throws {
        try await AcquisitionBench.with { bench in
            var rule = try await bench.rule()
            rule.createdAt = at("2021-03-26T00:00:00Z")
            let replica = try await bench.replica()
            bench.simulator.reply { iqfeedMinutes($0) }
            let source = try #require(replica.catalogue.source("iqfeed"))
            func take(_ from: String, _ to: String) async throws {
                let asked = at("2021-03-26T\(from):00Z")..<at("2021-03-26T\(to):00Z")
                var request = HistoryRequest(symbol: "NEPT", instrument: "NEPT", kind: .bars(.seconds(60)), range: asked)
                request.assetClass = .equity
                request.calendar = CalendarCatalogue.usEquity
                let answer = try #require(try await source.history(request))
                _ = try await replica.bench.importer.run(answer, from: "iqfeed", name: from, mark: FetchMark(rule, asked: asked))
            }
            try await take("13:30", "13:32")
            let moment = try #require(try await bench.superuser.query("SELECT max(recorded_at) FROM chunks").first).column(0, as: Timestamp.self)
            let before = try await replica.bench.closes("NEPT", "1m") { $0.asOf = moment }
            #expect(before.count == 2)
            try await take("13:32", "13:40")
            #expect(try await replica.bench.closes("NEPT", "1m") { $0.asOf = moment } == before)
            #expect(try await replica.bench.closes("NEPT", "1m") { $0.asOf = Timestamp.now() }.count == 5)
        }
    }

    /// Pieces that cannot be had do not stand in the way of older ones, and are asked for once until all had their turn.
    @Test func aPieceThatCannotBeHadHoldsNothingUp() async throws {
        try await AcquisitionBench.with { bench in
            let months = (1...24).map { Timestamp.now() - .seconds($0 * 31 * 86_400) }
            let rule = try await bench.rule(from: months[23])
            let bad = Set(months[1...5].map { FetchSlot(of: rule, at: $0).range.lowerBound })
            let asked = Mutex<[Timestamp: Int]>([:])
            let source = AnsweringSource { request in
                let month = CivilDay(utcMicroseconds: request.range.lowerBound.microseconds).firstOfMonth
                asked.withLock { $0[Timestamp(seconds: month.seconds), default: 0] += 1 }
                if bad.contains(Timestamp(seconds: month.seconds)) { throw SourceError.notSupported("that month") }
                return nil
            }
            let replica = try await bench.replica(asking: source)
            var rounds = 0
            while await replica.keeper.round() { rounds += 1 }
            #expect((2...4).contains(rounds))
            asked.withLock { asked in for month in bad { #expect(asked[month] == 1) } }
            // All but these was asked for.
            let missing = try await bench.rules.missing(rule, in: rule.backfillFrom..<(Timestamp.now() - .seconds(3_600)), now: Timestamp.now())
            #expect(Set(FetchSlot.covering(missing, of: rule, maximum: 100).map(\.range.lowerBound)) == bad)
            // The next time they have their turn again.
            _ = try await bench.rules.runNow(rule.id)
            #expect(await replica.keeper.round())
            asked.withLock { asked in #expect(bad.reduce(0) { $0 + (asked[$1] ?? 0) } == bad.count + Keeper.failuresARun) }
        }
    }

    /// More trades than are taken at once are asked for in shorter stretches, the newest first.
    @Test func aBusyDayOfTradesComesInPieces() async throws {
        try await AcquisitionBench.with { bench in
            let asked = Mutex<[Range<Timestamp>]>([])
            let source = AnsweringSource { request in
                asked.withLock { $0.append(request.range) }
                guard request.range.upperBound - request.range.lowerBound <= .seconds(6 * 3_600) else {
                    throw SourceError.tooMany(maximumRows: 1_000)
                }
                return try AnswerTrades.one(at: request.range.lowerBound).file(of: request, assetClass: .equity, askedAt: Timestamp.now(), notes: [])
            }
            let rule = try await bench.rule("tick")
            let day = at("2021-03-10T00:00:00Z")
            let report = try await bench.replica(asking: source).fetches.fill(rule, FetchSlot(of: rule, at: day))
            #expect(report.failure == nil)
            #expect(report.rows == 4)
            #expect(asked.withLock(\.count) == 7)
            #expect(try await reread(bench, rule).spokenFor.ranges == [day..<(day + .seconds(86_400))])
        }
    }

    /// After a lasting failure, whoever mended its cause need not wait for it to be forgotten.
    @Test func aRuleThatIsMendedIsAskedAgain() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            let replica = try await bench.replica()
            bench.simulator.reply { _ in .error("Unauthorized user ID.") }
            #expect(try await replica.readMarch() == ([], "refused"))
            bench.simulator.reply { iqfeedMinutes($0) }
            #expect(try await replica.readMarch() == ([], "refused"))
            replica.first.forget("NEPT")
            #expect(try await replica.readMarch().closes.count == 115)
        }
    }

    /// The words for a failure are those that the interface names.
    @Test func anAnswerThatCannotBeStoredIsBroken() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule()
            let source = AnsweringSource { request in
                var empty = try #require(
                    try AnswerTrades.one(at: request.range.lowerBound).file(
                        of: request,
                        assetClass: .equity,
                        askedAt: Timestamp.now(),
                        notes: []
                    )
                )
                empty.series = []
                return empty
            }
            let replica = try await bench.replica(asking: source)
            let report = try await replica.fetches.fill(rule, FetchSlot(of: rule, at: at("2021-03-10T00:00:00Z")))
            #expect(report.failure?.code == "broken")
        }
    }
}

extension AnswerTrades {
    fileprivate static func one(at moment: Timestamp) throws -> AnswerTrades {
        let one = try #require(DecimalNumber("1"))
        var trades = AnswerTrades()
        trades.append(AnswerTrade(id: 1, time: moment, price: one, size: one))
        return trades
    }
}
