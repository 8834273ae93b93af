/// Prices and volumes of the past as they compare with those of a moment: each row multiplied by what has happened since.
///
/// An adjusted price is the exact quotient rounded to eight decimals, halves away from zero, whatever else stands in its column: rows that are added
/// to a day later change nothing. Volumes are divided by the split only: exact where that is a multiplication, else rounded to six decimals.
public struct PriceAdjustment: Sendable, Equatable {
    /// One action that was in force.
    public struct Step: Sendable, Hashable {
        /// Rows that start before this instant (microseconds since 1970) are of the time before the action.
        public var instant: Int64
        /// What it makes of their prices.
        public var ratio: AdjustmentRatio
        /// Takes both.
        public init(instant: Int64, ratio: AdjustmentRatio) {
            self.instant = instant
            self.ratio = ratio
        }
    }

    /// Decimals of an adjusted price.
    public static let priceDecimals = 8
    /// Decimals of a volume that is no whole multiple.
    public static let volumeDecimals = 6

    /// What rows that start before `instants[i]`, and not before the one in front of it, are multiplied by.
    private let instants: [Int64]
    private let factors: [AdjustmentRatio]

    /// Takes the actions in force at the moment, in any order.
    public init(_ steps: [Step]) {
        var instants: [Int64] = []
        var factors: [AdjustmentRatio] = []
        var factor = AdjustmentRatio.none
        for step in steps.sorted(by: { $0.instant > $1.instant }) {
            factor = step.ratio.followed(by: factor)
            if instants.last == step.instant {
                factors[factors.count - 1] = factor
            } else {
                instants.append(step.instant)
                factors.append(factor)
            }
        }
        self.instants = instants.reversed()
        self.factors = factors.reversed()
    }

    /// What a row that starts at an instant is multiplied by.
    public func factor(at instant: Int64) -> AdjustmentRatio {
        let place = place(of: instant)
        return place < factors.count ? factors[place] : .none
    }

    /// The series as it compares with the moment; the same series if nothing has happened since.
    public func apply(_ series: BarSeries) -> BarSeries {
        guard let last = instants.last, let first = series.starts.first, first < last else { return series }
        var parts: [BarSeries] = []
        var row = 0
        while row < series.count {
            let place = place(of: series.starts[row])
            guard place < factors.count else {
                parts.append(series.slice(row..<series.count))
                break
            }
            let end = series.firstRow(startingFrom: instants[place])
            parts.append(Self.multiply(series.slice(row..<end), by: factors[place]))
            row = end
        }
        func joined(_ column: (BarSeries) -> ScaledColumn) -> ScaledColumn { .concatenate(parts.map(column)) }
        return BarSeries(
            unchecked: series.starts,
            ends: series.ends,
            open: joined(\.open),
            high: joined(\.high),
            low: joined(\.low),
            close: joined(\.close),
            volume: series.volume == nil ? nil : .concatenate(parts.compactMap(\.volume)),
            trades: series.trades
        )
    }

    private func place(of instant: Int64) -> Int {
        var low = 0
        var high = instants.count
        while low < high {
            let middle = (low + high) / 2
            if instants[middle] <= instant { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func multiply(_ series: BarSeries, by factor: AdjustmentRatio) -> BarSeries {
        if factor == .none { return series }
        let top = Int128(factor.splitNumerator) * Int128(factor.priceTrillionths)
        let bottom = Int128(factor.splitDenominator) * Int128(AdjustmentRatio.one)
        let price = Multiplication(top, over: bottom, decimals: priceDecimals)
        let volume: Multiplication
        if factor.splitNumerator == 1 {
            volume = Multiplication(Int128(factor.splitDenominator), over: 1, decimals: nil)
        } else {
            volume = Multiplication(Int128(factor.splitDenominator), over: Int128(factor.splitNumerator), decimals: volumeDecimals)
        }
        return BarSeries(
            unchecked: series.starts,
            ends: series.ends,
            open: price.apply(series.open),
            high: price.apply(series.high),
            low: price.apply(series.low),
            close: price.apply(series.close),
            volume: series.volume.map { factor.splitNumerator == factor.splitDenominator ? $0 : volume.apply($0) },
            trades: series.trades
        )
    }
}

/// One column times a fraction, rounded to so many decimals; with none the fraction is a whole number and nothing is rounded.
private struct Multiplication {
    private let top: Int128
    private let bottom: Int128
    private let decimals: Int?

    init(_ top: Int128, over bottom: Int128, decimals: Int?) {
        let divisor = greatestCommonDivisor(top, bottom)
        self.top = top / divisor
        self.bottom = bottom / divisor
        self.decimals = decimals
    }

    func apply(_ column: ScaledColumn) -> ScaledColumn {
        if let scale = column.scale, let values = column.integers(at: scale) {
            if let exact = integers(values, scale) { return ScaledColumn(integers: exact, scale: decimals ?? scale) }
            return ScaledColumn(.floats(values.map { $0 == ScaledColumn.missing ? .nan : double(of: $0, scale) }))
        }
        return ScaledColumn(
            .floats(
                column.doubles().map { value in
                    guard value.isFinite, case .exact(let mantissa, let scale) = DecimalNumber("\(value)") else { return value * quotient }
                    return double(of: mantissa, scale)
                }
            )
        )
    }

    /// The whole column as integers, or nothing where a value leaves 64 bits.
    private func integers(_ values: [Int64], _ scale: Int) -> [Int64]? {
        guard let (numerator, denominator) = fraction(at: scale) else { return nil }
        var result: [Int64] = []
        result.reserveCapacity(values.count)
        if let factor = Int64(exactly: numerator), let divisor = Int64(exactly: denominator) {
            // Splits of usual prices stay in 64 bits from end to end.
            let half = divisor / 2
            let limit = (Int64.max - half) / factor
            var fits = true
            for value in values {
                if value == ScaledColumn.missing {
                    result.append(value)
                } else if value.magnitude <= limit.magnitude {
                    let magnitude = (Int64(value.magnitude) &* factor &+ half) / divisor
                    result.append(value < 0 ? -magnitude : magnitude)
                } else {
                    fits = false
                    break
                }
            }
            if fits { return result }
            result.removeAll(keepingCapacity: true)
        }
        for value in values {
            if value == ScaledColumn.missing {
                result.append(value)
                continue
            }
            let (product, overflow) = Int128(value).multipliedReportingOverflow(by: numerator)
            guard !overflow, let made = Int64(exactly: roundedQuotient(product, denominator)), made != ScaledColumn.missing else { return nil }
            result.append(made)
        }
        return result
    }

    /// The fraction between a mantissa of one scale and one of the result's.
    private func fraction(at scale: Int) -> (Int128, Int128)? {
        guard let decimals else { return (top, bottom) }
        let (one, overflow) = top.multipliedReportingOverflow(by: Int128(integerPowersOfTen[max(0, decimals - scale)]))
        let (other, alsoOverflow) = bottom.multipliedReportingOverflow(by: Int128(integerPowersOfTen[max(0, scale - decimals)]))
        if overflow || alsoOverflow { return nil }
        let divisor = greatestCommonDivisor(one, other)
        return (one / divisor, other / divisor)
    }

    /// One value where its column does not fit integers: rounded as it would be there, if it alone fits.
    private func double(of mantissa: Int64, _ scale: Int) -> Double {
        var (mantissa, scale) = (mantissa, scale)
        while scale > 0, mantissa % 10 == 0 {
            mantissa /= 10
            scale -= 1
        }
        if let one = integers([mantissa], scale) { return decimalDouble(one[0], decimals ?? scale) }
        return decimalDouble(mantissa, scale) * quotient
    }

    private var quotient: Double { Double(top) / Double(bottom) }
}
