import Contracts
import Testing

@testable import signals

@Suite("Rules for predictions")
struct PredictionRuleTests {
    static let asOf = Timestamp(seconds: 1_475_928_060)

    static func manifest(_ kind: OutputKind = .direction, rows: Int = 1) -> Manifest {
        Manifest(
            name: "x",
            schedule: .interval(seconds: 60),
            inputs: [ManifestInput(instrument: "ETHUSD", interval: "15s", lookback: 5)],
            output: ManifestOutput(kind: kind, instrument: "BTCUSD", horizonSeconds: 60, maximumRows: rows)
        )
    }

    static func row(
        _ value: PredictionValue = .single(DecimalText(units: 1)),
        kind: OutputKind = .direction,
        row: Int = 0,
        instrument: String = "BTCUSD",
        from: Int64 = 0,
        to: Int64 = 60
    ) -> PredictionRow {
        PredictionRow(row: row, instrument: instrument, kind: kind, value: value, targetFrom: asOf + .seconds(from), targetTo: asOf + .seconds(to))
    }

    func fault(_ rows: [PredictionRow], _ kind: OutputKind = .direction, maximum: Int = 1, feed: FeedKind = .live) -> RowFault? {
        RowRules.firstFault(rows: rows, manifest: Self.manifest(kind, rows: maximum), asOf: Self.asOf, feed: feed)
    }

    @Test("Good rows of every kind pass, none at all as well")
    func good() throws {
        #expect(fault([]) == nil)
        #expect(fault([Self.row()]) == nil)
        #expect(fault([Self.row(.single(try decimal("0.55")), kind: .probability)], .probability) == nil)
        #expect(fault([Self.row(.single(try decimal("-37.63")), kind: .price)], .price) == nil)
        let quantiles = PredictionValue.quantiles(["0.1": try decimal("1"), "0.5": try decimal("1"), "0.9": try decimal("20")])
        #expect(fault([Self.row(quantiles, kind: .quantiles)], .quantiles) == nil)
        #expect(fault([Self.row(), Self.row(row: 1)], maximum: 2) == nil)
    }

    @Test("One bad row is named with its number and reason")
    func bad() throws {
        let cases: [(PredictionRow, OutputKind, String)] = [
            (Self.row(row: 1), .direction, "its number is not 0"),
            (Self.row(instrument: "ETHUSD"), .direction, "the manifest promises 'BTCUSD'"),
            (Self.row(kind: .price), .direction, "the manifest promises 'direction'"),
            (Self.row(.single(try decimal("1.01"))), .direction, "a direction is -1, 0 or 1"),
            (Self.row(.single(try decimal("-0.1")), kind: .probability), .probability, "between 0 and 1"),
            (Self.row(.single(try decimal("-1.5")), kind: .return), .return, "-1 or more"),
            (Self.row(kind: .quantiles), .quantiles, "a mapping"),
            (Self.row(.quantiles(["1.5": .zero]), kind: .quantiles), .quantiles, "between 0 and 1"),
            (
                Self.row(.quantiles(["0.1": try decimal("2"), "0.2": try decimal("1")]), kind: .quantiles), .quantiles,
                "is above the value at level 0.2"
            ),
            (Self.row(.quantiles([:])), .direction, "must be a number"),
            (Self.row(from: 60, to: 0), .direction, "after target_from"),
            (Self.row(from: 0, to: 61), .direction, "horizon_seconds"),
            (Self.row(from: -60, to: 0), .direction, "before as_of"),
        ]
        for (row, kind, words) in cases {
            let found = fault([row], kind)
            #expect(found?.row == 0)
            #expect(found?.reason.contains(words) == true, "\(found?.reason ?? "passed"), wanted \(words)")
        }
        #expect(fault([Self.row(), Self.row(row: 1)])?.row == 1)
        #expect(fault([Self.row(), Self.row(row: 5)], maximum: 2)?.row == 1)
        #expect(fault([Self.row(from: -3_600, to: -3_540)], feed: .replay) == nil)
    }

    @Test("Late by the clock, late by what was known, and replays")
    func late() {
        func isLate(
            _ afterDue: Int64,
            feed: FeedKind = .live,
            from: Int64 = 0,
            knowledge: MarketKnowledge = MarketKnowledge(baseSeconds: 15)
        ) -> Bool {
            LatenessRule.isLate(
                madeAt: Self.asOf + .seconds(afterDue),
                dueAt: Self.asOf,
                deadlineSeconds: 60,
                targetFrom: Self.asOf + .seconds(from),
                asOf: Self.asOf,
                feed: feed,
                knowledge: knowledge
            )
        }
        #expect(!isLate(1))
        #expect(!isLate(14))
        #expect(isLate(15))
        #expect(!isLate(60, from: 50))
        #expect(isLate(61, from: 3_600))
        // The finest bars count, however long the signal's own are; when nobody could say, they are the finest that there can be.
        #expect(isLate(5, knowledge: MarketKnowledge(baseSeconds: 5)))
        #expect(!isLate(4, knowledge: MarketKnowledge(baseSeconds: 5)))
        #expect(isLate(1, knowledge: .unknown))
        #expect(!isLate(0, knowledge: .unknown))
        #expect(isLate(15, feed: .backfill))
    }

    @Test(
        "A replay's row is late when the first bar of its window had been released, told in today's time or in the bars'",
        arguments: [true, false]
    )
    func lateReplay(isWallClock: Bool) {
        let old = Timestamp(seconds: 1_275_928_000)
        let from = isWallClock ? Self.asOf : old
        /// `released` seconds of bars since `as_of`, seen at the age of `seen` seconds.
        func isLate(_ afterDue: Int64, released: Int64, seen: Int64, window: Int64 = 0) -> Bool {
            let replay = ReplayKnowledge(knownAtAsOf: old, knownThrough: old + .seconds(released), lookedAt: Self.asOf + .seconds(seen))
            return LatenessRule.isLate(
                madeAt: Self.asOf + .seconds(afterDue),
                dueAt: Self.asOf,
                deadlineSeconds: 60,
                targetFrom: from + .seconds(window),
                asOf: Self.asOf,
                feed: .replay,
                knowledge: MarketKnowledge(baseSeconds: 15, replay: replay)
            )
        }
        #expect(!isLate(30, released: 0, seen: 30))
        #expect(isLate(2, released: 15, seen: 2))
        #expect(!isLate(2, released: 15, seen: 2, window: 15))
        #expect(isLate(2, released: 30, seen: 2, window: 15))
        // Nobody knows what was released in the five seconds since one looked.
        #expect(isLate(30, released: 0, seen: 25))
        #expect(isLate(61, released: 0, seen: 61))
    }

    @Test("A replay of which nothing is known goes against the provider")
    func unknownReplay() {
        let rule = { (knowledge: MarketKnowledge) in
            LatenessRule.isLate(
                madeAt: Self.asOf,
                dueAt: Self.asOf,
                deadlineSeconds: 60,
                targetFrom: Self.asOf,
                asOf: Self.asOf,
                feed: .replay,
                knowledge: knowledge
            )
        }
        #expect(rule(.unknown))
        #expect(rule(MarketKnowledge(baseSeconds: 15)))
    }

    @Test("Only what was sealed before its window opened counts")
    func counts() {
        let opens = Self.asOf + .seconds(15)
        #expect(LatenessRule.counts(late: false, feed: .live, sealedAt: opens, outcomeOpensAt: opens))
        #expect(!LatenessRule.counts(late: false, feed: .live, sealedAt: opens + .microseconds(1), outcomeOpensAt: opens))
        #expect(!LatenessRule.counts(late: true, feed: .live, sealedAt: opens, outcomeOpensAt: opens))
        #expect(!LatenessRule.counts(late: false, feed: .replay, sealedAt: opens, outcomeOpensAt: opens))
        #expect(!LatenessRule.counts(late: false, feed: .live, sealedAt: nil, outcomeOpensAt: nil))
    }

    @Test("A statement's payload is canonical and holds everything that was promised")
    func payload() throws {
        let statement = PredictionStatement(
            signalID: .make(),
            versionSHA256: LedgerHash.zero,
            envSHA256: LedgerHash.zero,
            dataSHA256: LedgerHash.zero,
            jobID: .make(),
            row: Self.row(.quantiles(["0.9": .zero, "0.1": .zero]), kind: .quantiles),
            dueAt: Self.asOf,
            asOf: Self.asOf,
            referencePrice: nil,
            feed: .replay,
            late: true
        )
        let read = try WireJSON.parse(Array(statement.payload.utf8))
        #expect(String(decoding: WireJSON.encode(read), as: UTF8.self) == statement.payload)
        #expect(read["feed"] == "replay")
        #expect(read["value"] == ["0.1": "0", "0.9": "0"])
        #expect(read["reference_price"] == .null)
    }

    func decimal(_ text: String) throws -> DecimalText { try #require(DecimalText(text)) }
}

@Suite("Settlement")
struct SettlementTests {
    static func bars(_ prices: [(open: String, close: String)], from start: Int64 = 0, seconds: Int64 = 15) -> [OutcomeBar] {
        prices.enumerated().map { index, price in
            let begin = Timestamp(seconds: start + Int64(index) * seconds)
            return OutcomeBar(
                start: begin,
                end: begin + .seconds(seconds),
                open: DecimalText(price.open) ?? .zero,
                close: DecimalText(price.close) ?? .zero
            )
        }
    }

    func settle(_ value: String, _ kind: OutputKind = .direction, after: Int64, by: Int64, _ bars: [OutcomeBar]) -> RealisedOutcome {
        Settlement.outcome(
            value: .single(DecimalText(value) ?? .zero),
            kind: kind,
            opensAfter: Timestamp(seconds: after),
            closesBy: Timestamp(seconds: by),
            bars: bars
        )
    }

    let rising = bars([("100", "101"), ("101", "102"), ("102", "103"), ("103", "110")])

    @Test("From the open of the first bar after it was made to the last close inside the window")
    func window() {
        let outcome = settle("1", after: 0, by: 45, rising)
        #expect(outcome.state == .settled)
        #expect(outcome.openPrice?.text == "101")
        #expect(outcome.closePrice?.text == "103")
        #expect(outcome.realisedReturn?.text == "0.019801980198")
        #expect(outcome.correct == true)
        #expect(settle("-1", after: 0, by: 45, rising).correct == false)
    }

    @Test("A bar that opens at the very moment does not count")
    func boundary() {
        #expect(settle("1", after: 15, by: 60, rising).openPrice?.text == "102")
        #expect(settle("1", after: 14, by: 60, rising).openPrice?.text == "101")
        #expect(settle("1", after: 0, by: 44, rising).closePrice?.text == "102")
    }

    @Test("No move is a miss, no side is no call")
    func ambiguity() {
        let flat = Self.bars([("100", "100"), ("100", "100")])
        #expect(settle("1", after: -1, by: 30, flat).correct == false)
        #expect(settle("-1", after: -1, by: 30, flat).correct == false)
        #expect(settle("0", after: -1, by: 30, rising).correct == nil)
        #expect(settle("0.5", .probability, after: -1, by: 30, rising).correct == nil)
        #expect(settle("0.51", .probability, after: -1, by: 30, rising).correct == true)
        #expect(settle("100", .price, after: -1, by: 30, rising).correct == nil)
    }

    @Test("A window without bars is unresolved, with the reason")
    func unresolved() {
        #expect(settle("1", after: 60, by: 120, rising).state == .unresolved)
        #expect(settle("1", after: 0, by: 29, rising).state == .unresolved)
        #expect(settle("1", after: 0, by: 60, []).reason?.isEmpty == false)
        #expect(settle("1", after: -1, by: 15, Self.bars([("0", "5")])).state == .unresolved)
        #expect(settle("1", after: -1, by: 15, Self.bars([("-1", "5")])).state == .unresolved)
    }

    @Test(
        "Returns are rounded half away from zero at 12 decimals",
        arguments: [
            ("3", "4", "0.333333333333"), ("3", "5", "0.666666666667"), ("3", "2", "-0.333333333333"), ("616.53", "616.16", "-0.000600133002"),
            ("1", "1", "0"),
        ]
    )
    func rounding(open: String, close: String, expected: String) {
        #expect(Settlement.relativeChange(from: DecimalText(open) ?? .zero, to: DecimalText(close) ?? .zero)?.text == expected)
    }
}
