import Bars
import Testing

private func number(_ text: String) -> DecimalNumber {
    guard let number = DecimalNumber(text) else { preconditionFailure("\(text) is no number") }
    return number
}

private func ratio(_ price: (String, String), _ split: (String, String)) -> AdjustmentRatio? {
    AdjustmentRatio(
        priceBefore: number(price.0),
        priceAfter: number(price.1),
        splitBefore: number(split.0),
        splitAfter: number(split.1)
    )
}

/// Seconds of one price each, from an instant on.
private func seconds(from start: Int64, _ closes: [String], volume: String? = "100") throws -> BarSeries {
    var builder = BarSeriesBuilder()
    for (index, close) in closes.enumerated() {
        let price = number(close)
        builder.append(
            start: start + Int64(index) * 1_000_000,
            end: start + Int64(index + 1) * 1_000_000,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: volume.map(number)
        )
    }
    return try builder.finish()
}

private func texts(_ column: ScaledColumn?) -> [String] {
    guard let column else { return [] }
    return (0..<column.count).map { column.text(at: $0) ?? "-" }
}

@Suite struct AdjustmentTests {
    /// Files write six digits of a split; the fraction that is meant comes back.
    @Test(arguments: [
        ("0.03571430", "0.25", Int64(1), Int64(7)), ("0.00892857", "0.01785710", 1, 2), ("7.11111022", "10.66670000", 2, 3),
        ("0.11111099", "1", 1, 9),
        ("8", "1", 8, 1), ("0.997307", "1", 997_307, 1_000_000), ("1", "1", 1, 1),
    ])
    func splitsAreFractions(before: String, after: String, numerator: Int64, denominator: Int64) throws {
        let found = try #require(ratio(("1", "1"), (before, after)))
        #expect(found.splitNumerator == numerator)
        #expect(found.splitDenominator == denominator)
        #expect(found.priceTrillionths == AdjustmentRatio.one)
    }

    @Test func whatIsNoFactorIsRefused() {
        #expect(ratio(("0", "1"), ("1", "1")) == nil)
        #expect(ratio(("1", "1"), ("-1", "1")) == nil)
        #expect(ratio(("1", "1"), ("1", "0")) == nil)
        #expect(ratio(("1", "1"), ("0.0000001", "1000")) == nil)
    }

    @Test func filesThatDifferInTheLastDigitSayTheSame() throws {
        let one = try #require(ratio(("0.8961764", "0.9011818"), ("0.25", "0.25")))
        let other = try #require(ratio(("0.4480881", "0.4505909"), ("0.0357143", "0.0357143")))
        #expect(one != other)
        #expect(one.isLike(other))
        let paid = try #require(ratio(("0.8961764", "0.9011918"), ("1", "1")))
        #expect(!one.isLike(paid))
        #expect(!AdjustmentRatio(splitNumerator: 1, splitDenominator: 7).isLike(AdjustmentRatio(splitNumerator: 1, splitDenominator: 6)))
    }

    @Test func rowsBeforeAnActionAreMultipliedAndLaterOnesAreAsTheyWere() throws {
        let bars = try seconds(from: 0, ["700", "645.57", "92.23"])
        let split = AdjustmentRatio(splitNumerator: 1, splitDenominator: 7)
        let adjusted = PriceAdjustment([PriceAdjustment.Step(instant: 2_000_000, ratio: split)]).apply(bars)
        #expect(texts(adjusted.close) == ["100", "92.22428571", "92.23"])
        #expect(texts(adjusted.volume) == ["700", "700", "100"])
        #expect(adjusted.starts == bars.starts)
        // At its very instant an action has happened; what starts then is of the time after it.
        #expect(PriceAdjustment([PriceAdjustment.Step(instant: 0, ratio: split)]).apply(bars) == bars)
        #expect(PriceAdjustment([]).apply(bars) == bars)
    }

    @Test func actionsMultiplyFromTheLastOneBack() throws {
        let bars = try seconds(from: 0, ["100", "100", "100"])
        let steps = [
            PriceAdjustment.Step(instant: 2_000_000, ratio: AdjustmentRatio(splitNumerator: 1, splitDenominator: 2)),
            PriceAdjustment.Step(
                instant: 1_000_000,
                ratio: AdjustmentRatio(splitNumerator: 1, splitDenominator: 1, priceTrillionths: 990_000_000_000)
            ),
        ]
        let adjusted = PriceAdjustment(steps).apply(bars)
        #expect(texts(adjusted.close).map { Double($0) } == [49.5, 50, 100])
        // What was paid out says nothing about how many shares there are.
        #expect(texts(adjusted.volume).map { Double($0) } == [200, 200, 100])
        #expect(PriceAdjustment(steps.reversed()) == PriceAdjustment(steps))
        let both = [PriceAdjustment.Step(instant: 2_000_000, ratio: steps[0].ratio), PriceAdjustment.Step(instant: 2_000_000, ratio: steps[1].ratio)]
        #expect(texts(PriceAdjustment(both).apply(bars).close).map { Double($0) } == [49.5, 49.5, 100])
    }

    /// What comes into a day later may need more decimals, or no decimals that fit at all: earlier rows read the same.
    @Test func aRowIsRoundedByItselfWhateverStandsInItsColumn() throws {
        let adjustment = PriceAdjustment([
            PriceAdjustment.Step(
                instant: 3_600_000_000,
                ratio: AdjustmentRatio(splitNumerator: 3, splitDenominator: 7, priceTrillionths: 994_445_730_000)
            )
        ])
        let prices = ["645.57", "0.0001", "100000", "3"]
        let alone = texts(adjustment.apply(try seconds(from: 0, prices)).close)
        let finer = texts(adjustment.apply(try seconds(from: 0, prices + ["1.123456789012"])).close)
        let floating = try seconds(from: 0, prices + ["0.123456789012345678"])
        #expect(floating.close.scale == nil)
        #expect(Array(finer.prefix(4)) == alone)
        #expect(Array(texts(adjustment.apply(floating).close).prefix(4)) == alone)
        #expect(alone.first == "275.13614139")
    }

    @Test func volumesOfAnOddSplitAreRoundedToSixDecimalsAndUnknownOnesStayUnknown() throws {
        let adjustment = PriceAdjustment([
            PriceAdjustment.Step(instant: 3_600_000_000, ratio: AdjustmentRatio(splitNumerator: 3, splitDenominator: 4))
        ])
        #expect(texts(adjustment.apply(try seconds(from: 0, ["8"], volume: "100")).volume) == ["133.333333"])
        #expect(adjustment.apply(try seconds(from: 0, ["8"], volume: nil)).volume == nil)
        let huge = adjustment.apply(try seconds(from: 0, ["8"], volume: "9000000000000000000")).volume
        #expect(huge?.double(at: 0) == 1.2e19)
    }

    @Test func halvesGoAwayFromZero() throws {
        let half = PriceAdjustment([PriceAdjustment.Step(instant: 3_600_000_000, ratio: AdjustmentRatio(splitNumerator: 1, splitDenominator: 2))])
        #expect(
            texts(half.apply(try seconds(from: 0, ["0.00000001", "-0.00000001", "0.00000003"])).close) == ["0.00000001", "-0.00000001", "0.00000002"]
        )
    }
}
