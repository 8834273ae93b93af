import Bars
import Contracts
import Postgres
import Redis
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Rules that are due: by one replica each, only what is missing, and with a clear word where it does not go.
@Suite(.serialized, .enabled(if: TestServers.hasPostgres && TestServers.hasRedis), .timeLimit(.minutes(10))) struct KeeperTests {
    /// Days before it do not change while the test runs.
    private let yesterday = CivilDay(utcMicroseconds: Timestamp.now().microseconds) + -2

    private func daysAgo(_ days: Int) -> Timestamp { Timestamp.now() - .seconds(days * 86_400) }

    private func reread(_ bench: AcquisitionBench, _ rule: KeepRule) async throws -> KeepRule { try #require(try await bench.rules.rule(rule.id)) }

    @Test func oneOfTwoReplicasRunsADueRule() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule(from: daysAgo(70))
            bench.simulator.reply { [yesterday] in iqfeedMinutes($0, last: yesterday) }
            let (one, other) = (try await bench.replica(), try await bench.replica())
            async let first = one.keeper.round()
            async let second = other.keeper.round()
            let (isFirst, isSecond) = await (first, second)
            #expect(isFirst != isSecond)
            let months = FetchSlot.covering([rule.backfillFrom..<Timestamp.now()], of: rule, maximum: 100).count
            #expect(try await bench.requests() == months)
            let after = try await reread(bench, rule)
            #expect(after.lastRun?.outcome == "fetched")
            #expect((after.lastRun?.daysAdded ?? 0) > 40)
            #expect(after.nextDueAt > Timestamp.now())
            #expect(!after.isRunning)
            // Nothing is due any more.
            let rest = (await one.keeper.round(), await other.keeper.round())
            #expect(rest == (false, false))
        }
    }

    @Test func theSameRangeAgainChangesNothing() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule(from: daysAgo(40))
            bench.simulator.reply { [yesterday] in iqfeedMinutes($0, last: yesterday) }
            let replica = try await bench.replica()
            let settled = rule.settled(by: Timestamp.now())
            #expect(await replica.keeper.round())
            let (chunks, imports) = (try await bench.count("chunks"), try await bench.count("imports"))
            #expect(chunks > 20)
            _ = try await bench.requests()
            // Only the end of it is asked for again.
            _ = try await bench.rules.runNow(rule.id)
            #expect(await replica.keeper.round())
            // At the beginning of a month that is of two.
            let ends = FetchSlot.covering([settled..<Timestamp.now()], of: rule, maximum: 100).count
            #expect((1...ends).contains(try await bench.requests()))
            #expect(try await reread(bench, rule).lastRun?.outcome == "unchanged")
            // All of it again, as if nobody remembered: stored days are looked at.
            try await bench.superuser.execute("UPDATE keep_rules SET spoken_for = '{}', next_due_at = now()")
            #expect(await replica.keeper.round())
            #expect(try await reread(bench, rule).lastRun?.outcome == "unchanged")
            // And even an answer that brings the same rows again is no revision.
            let again = try await replica.catalogue.source("iqfeed")?.history(
                HistoryRequest(
                    symbol: "NEPT",
                    instrument: "NEPT",
                    assetClass: .equity,
                    calendar: CalendarCatalogue.usEquity,
                    kind: .bars(.seconds(60)),
                    range: rule.backfillFrom..<Timestamp.now()
                )
            )
            let outcome = try await replica.bench.importer.run(try #require(again), from: "iqfeed", name: "again")
            #expect(outcome.days.unchanged == chunks)
            #expect(outcome.days.added + outcome.days.extended + outcome.days.revised == 0)
            #expect(try await bench.count("chunks") == chunks)
            #expect(try await bench.count("imports") == imports)
        }
    }

    @Test func aDayThatGrowsIsExtendedAndNeverRevised() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule(from: at("2021-03-24T00:00:00Z"))
            let replica = try await bench.replica()
            // As if it were Friday, in the middle of the five minutes.
            let (friday, rows) = (at("2021-03-26T00:00:00Z"), iqfeedRows(4))
            _ = rows
            bench.simulator.reply { iqfeedMinutes($0) }
            let source = try #require(replica.catalogue.source("iqfeed"))
            var request = HistoryRequest(symbol: "NEPT", instrument: "NEPT", kind: .bars(.seconds(60)), range: friday..<at("2021-03-26T13:32:00Z"))
            request.assetClass = .equity
            request.calendar = CalendarCatalogue.usEquity
            let first = try #require(try await source.history(request))
            #expect(try await replica.bench.importer.run(first, from: "iqfeed", name: "first").days == ImportOutcome.Days(added: 1))
            let read = try await replica.read(from: "2021-03-24T00:00:00Z", to: "2021-03-27T00:00:00Z")
            #expect(read.closes.count == 15)
            #expect(try await bench.count("chunks WHERE edition > 1") == 0)
            #expect(try await bench.count("chunks WHERE day = '2021-03-26' AND revision = 2 AND recorded_at = '-infinity'") == 1)
            #expect(try await reread(bench, rule).spokenFor.ranges.count == 1)
        }
    }

    @Test func whatMayPassIsTriedAgainSoonAndThenMoreSlowly() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule(from: daysAgo(2))
            bench.simulator.reply { _ in .error("Could not connect to History socket.") }
            let replica = try await bench.replica()
            for (failures, pause) in [(1, 30), (2, 60), (3, 120)] {
                #expect(await replica.keeper.round())
                let after = try await reread(bench, rule)
                let run = try #require(after.lastRun)
                #expect(run.outcome == "unavailable")
                #expect(run.detail?.contains("History socket") == true)
                #expect(after.failures == failures)
                #expect(abs((after.nextDueAt - run.at).wholeMicroseconds - Int64(pause) * 1_000_000) < 15_000_000)
                try await bench.superuser.execute("UPDATE keep_rules SET next_due_at = now()")
            }
            bench.simulator.reply { _ in .noData }
            #expect(await replica.keeper.round())
            let healed = try await reread(bench, rule)
            #expect(healed.failures == 0)
            #expect(healed.lastRun?.outcome == "no_data")
            #expect(healed.lastRun?.detail == nil)
        }
    }

    @Test func pausesAreBoundedByTheRulesOwnTime() {
        #expect((1...9).map { KeepRule.pauseSeconds(failures: $0, everySeconds: 86_400) } == [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600])
        #expect((1...5).map { KeepRule.pauseSeconds(failures: $0, everySeconds: 300) } == [30, 60, 120, 240, 300])
        #expect(KeepRule.pauseSeconds(failures: 1_000, everySeconds: 604_800) == 3_600)
    }

    @Test func whereASourceEndsIsRememberedAndSaid() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule("tick", from: daysAgo(200))
            bench.simulator.reply { _ in .noData }
            // All but the last days within its reach was had before.
            try await bench.rules.remember([daysAgo(176)..<daysAgo(1)], of: rule)
            let replica = try await bench.replica()
            #expect(await replica.keeper.round())
            let after = try await reread(bench, rule)
            #expect(after.lastRun?.outcome == "beyond_reach")
            #expect(after.lastRun?.detail?.contains("180 days") == true)
            let reach = try #require(after.reachFrom)
            #expect(reach > daysAgo(181) && reach < daysAgo(178))
            let asked = try await bench.requests()
            // The day in which it ends is asked for by ever shorter halves.
            #expect((4...14).contains(asked))
            // Nobody asks for what is older again, and the rule goes on.
            _ = try await bench.rules.runNow(rule.id)
            #expect(await replica.keeper.round())
            #expect(try await reread(bench, rule).lastRun?.outcome == "no_data")
            #expect(try await bench.requests() <= 2)
        }
    }

    @Test func refusalsAndAbsentSettingsAreSaid() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule(from: daysAgo(2))
            let none = try await bench.replica(isConfigured: false)
            #expect(await none.keeper.round())
            var after = try await reread(bench, rule)
            #expect(after.lastRun?.outcome == "not_configured")
            #expect(after.failures == 0 && after.nextDueAt > Timestamp.now() + .seconds(3_000))
            bench.simulator.reply { _ in .error("Unauthorized user ID.") }
            _ = try await bench.rules.runNow(rule.id)
            #expect(try await bench.replica().keeper.round())
            after = try await reread(bench, rule)
            #expect(after.lastRun?.outcome == "refused")
            #expect(after.lastRun?.detail?.contains("Unauthorized") == true)
        }
    }

    /// Years are fetched some pieces at a time, so that other rules get their turn.
    @Test func aLongBackfillGoesInPieces() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule(from: daysAgo(31 * 20))
            bench.simulator.reply { _ in .noData }
            let replica = try await bench.replica()
            #expect(await replica.keeper.round())
            #expect(try await bench.requests() == Keeper.piecesARun)
            let half = try await reread(bench, rule)
            #expect(half.lastRun?.outcome == "backfilling")
            #expect(half.nextDueAt <= Timestamp.now())
            #expect(half.spokenFor.ranges.count == 1)
            #expect(await replica.keeper.round())
            let whole = try await reread(bench, rule)
            #expect(whole.lastRun?.outcome == "no_data")
            #expect(whole.spokenFor.ranges.first?.lowerBound == rule.backfillFrom)
            let rest = await replica.keeper.round()
            #expect(!rest)
        }
    }

    /// Killed at its work: nobody touches the rule until the lease has run out, then the next one does all that is missing.
    @Test func aRuleOfAKilledReplicaIsTakenOver() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule(from: daysAgo(2))
            bench.simulator.reply { _ in .noData }
            #expect(try await bench.rules.claim(runner: "dead", leaseSeconds: 600)?.id == rule.id)
            let replica = try await bench.replica()
            let early = await replica.keeper.round()
            #expect(!early)
            #expect(try await reread(bench, rule).isRunning)
            try await bench.superuser.execute("UPDATE keep_rules SET lease_until = clock_timestamp()")
            #expect(await replica.keeper.round())
            // The dead one, if it comes back, has nothing to say.
            #expect(try await !bench.rules.renew(rule.id, runner: "dead", leaseSeconds: 600))
            try await bench.rules.finish(rule, runner: "dead", report: FetchReport(), outcome: "lies", failures: 0, pauseSeconds: nil)
            #expect(try await reread(bench, rule).lastRun?.outcome == "no_data")
        }
    }

    /// Whose lock was lost on the way brings an answer that another has brought already: it is dropped, whatever it says.
    @Test func anAnswerThatComesTooLateIsDropped() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule()
            let replica = try await bench.replica()
            bench.simulator.reply { iqfeedMinutes($0) }
            let march = at("2021-03-01T00:00:00Z")..<at("2021-04-01T00:00:00Z")
            var request = HistoryRequest(symbol: "NEPT", instrument: "NEPT", kind: .bars(.seconds(60)), range: march)
            request.assetClass = .equity
            request.calendar = CalendarCatalogue.usEquity
            let old = try #require(try await replica.catalogue.source("iqfeed")?.history(request))
            #expect(try await replica.readMarch().closes.count == 115)
            let mark = FetchMark(rule, asked: march, remembered: [march])
            await #expect(throws: FetchOvertaken.self) {
                try await replica.bench.importer.run(old, from: "iqfeed", name: "late", mark: mark)
            }
            #expect(try await bench.rules.delete(rule.id))
            await #expect(throws: FetchOvertaken.self) {
                try await replica.bench.importer.run(old, from: "iqfeed", name: "late", mark: mark)
            }
            #expect(try await bench.count("imports") == 1)
        }
    }

    @Test func stretchesAndPieces() throws {
        func range(_ from: String, _ to: String) -> Range<Timestamp> { at("\(from)T00:00:00Z")..<at("\(to)T00:00:00Z") }
        let some = Stretches([range("2021-01-10", "2021-01-12"), range("2021-02-01", "2021-02-05")])
        #expect(
            some.missing(in: range("2021-01-01", "2021-03-01")) == [
                range("2021-01-01", "2021-01-10"), range("2021-01-12", "2021-02-01"), range("2021-02-05", "2021-03-01"),
            ]
        )
        #expect(some.missing(in: range("2021-01-10", "2021-01-12")).isEmpty)
        #expect(some.missing(in: range("2021-01-11", "2021-01-13")) == [range("2021-01-12", "2021-01-13")])
        #expect(Stretches().missing(in: range("2021-01-01", "2021-01-02")) == [range("2021-01-01", "2021-01-02")])
        let (day, hour) = (Duration.seconds(86_400), Duration.seconds(3_600))
        let halves = try #require(range("2021-01-01", "2021-02-01").halves(cutAt: day))
        #expect(halves.older == range("2021-01-01", "2021-01-16") && halves.newer == range("2021-01-16", "2021-02-01"))
        #expect(range("2021-01-01", "2021-01-02").halves(cutAt: day) == nil)
        #expect((at("2021-01-01T12:00:00Z")..<at("2021-01-02T13:00:00Z")).halves(cutAt: day)?.newer.lowerBound == at("2021-01-02T00:00:00Z"))
        #expect(range("2021-01-01", "2021-01-02").halves(cutAt: hour)?.older.upperBound == at("2021-01-01T12:00:00Z"))
        #expect((at("2021-01-01T12:00:00Z")..<at("2021-01-01T13:00:00Z")).halves(cutAt: hour) == nil)
    }
}
