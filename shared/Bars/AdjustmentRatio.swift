/// What a corporate action makes of the prices before it: a split as a whole fraction, and a factor for money that was paid out.
///
/// Seven shares for one are the split 1/7: prices are multiplied by it and volumes divided.
public struct AdjustmentRatio: Sendable, Hashable {
    /// Prices before the action are multiplied by this …
    public let splitNumerator: Int64
    /// … and divided by this.
    public let splitDenominator: Int64
    /// The factor for what was paid out, in trillionths.
    public let priceTrillionths: Int64

    /// One in trillionths.
    public static let one: Int64 = 1_000_000_000_000
    /// Nothing changes.
    public static let none = AdjustmentRatio(splitNumerator: 1, splitDenominator: 1, priceTrillionths: one)

    /// Takes both parts, all of them above zero; the fraction is shortened.
    public init(splitNumerator: Int64, splitDenominator: Int64, priceTrillionths: Int64 = AdjustmentRatio.one) {
        precondition(splitNumerator > 0 && splitDenominator > 0 && priceTrillionths > 0, "a factor of zero or less is none")
        let divisor = Int64(greatestCommonDivisor(Int128(splitNumerator), Int128(splitDenominator)))
        self.splitNumerator = splitNumerator / divisor
        self.splitDenominator = splitDenominator / divisor
        self.priceTrillionths = priceTrillionths
    }

    /// Reads what two rows of a factor file say of the action between them: the factors of the row before it over those after it.
    ///
    /// Files write split factors with six digits: 1/28 is 0.0357143. The fraction of two numbers up to 50 that lies within that precision is meant.
    public init?(priceBefore: DecimalNumber, priceAfter: DecimalNumber, splitBefore: DecimalNumber, splitAfter: DecimalNumber) {
        guard let price = Self.quotient(priceBefore, priceAfter), let split = Self.fraction(splitBefore, splitAfter) else { return nil }
        let scaled = roundedQuotient(Int128(price.0) * Int128(Self.one), Int128(price.1))
        guard let trillionths = Int64(exactly: scaled), trillionths > 0 else { return nil }
        self.init(splitNumerator: split.0, splitDenominator: split.1, priceTrillionths: trillionths)
    }

    /// Whether two files say the same, within the seven digits that they write.
    public func isLike(_ other: AdjustmentRatio) -> Bool {
        let price = Double(priceTrillionths) / Double(other.priceTrillionths)
        let split = Double(splitNumerator) / Double(splitDenominator) * Double(other.splitDenominator) / Double(other.splitNumerator)
        return abs(price - 1) < 2e-6 && abs(split - 1) < Self.precision
    }

    /// One action after the other; the price factor is rounded to trillionths each time, so that the order is part of the result.
    func followed(by later: AdjustmentRatio) -> AdjustmentRatio {
        let price = roundedQuotient(Int128(priceTrillionths) * Int128(later.priceTrillionths), Int128(Self.one))
        let numerator = Int128(splitNumerator) * Int128(later.splitNumerator)
        let denominator = Int128(splitDenominator) * Int128(later.splitDenominator)
        let (top, bottom) = Self.shortened(numerator, denominator)
        return AdjustmentRatio(
            splitNumerator: top,
            splitDenominator: bottom,
            priceTrillionths: max(1, Int64(clamping: price))
        )
    }

    /// The most that a written split factor is off, relative to itself.
    private static let precision = 1e-5

    /// The fraction in whole numbers; one that leaves 64 bits is rounded to trillionths.
    private static func shortened(_ numerator: Int128, _ denominator: Int128) -> (Int64, Int64) {
        let divisor = greatestCommonDivisor(numerator, denominator)
        if let top = Int64(exactly: numerator / divisor), let bottom = Int64(exactly: denominator / divisor) { return (top, bottom) }
        let value = Double(numerator) / Double(denominator) * Double(one)
        return (max(1, Int64(exactly: value.rounded()) ?? .max), one)
    }

    private static func fraction(_ before: DecimalNumber, _ after: DecimalNumber) -> (Int64, Int64)? {
        guard let exact = quotient(before, after) else { return nil }
        let value = Double(exact.0) / Double(exact.1)
        for denominator in Int64(1)...50 {
            let numerator = (value * Double(denominator)).rounded()
            guard numerator >= 1, numerator <= 50 else { continue }
            if abs(numerator / Double(denominator) / value - 1) < precision { return (Int64(numerator), denominator) }
        }
        return exact
    }

    private static func quotient(_ left: DecimalNumber, _ right: DecimalNumber) -> (Int64, Int64)? {
        guard case .exact(let top, let topScale) = left, case .exact(let bottom, let bottomScale) = right, top > 0, bottom > 0, topScale <= 15,
            bottomScale <= 15
        else { return nil }
        let scale = max(topScale, bottomScale)
        let numerator = Int128(top) * Int128(integerPowersOfTen[scale - topScale])
        let denominator = Int128(bottom) * Int128(integerPowersOfTen[scale - bottomScale])
        let divisor = greatestCommonDivisor(numerator, denominator)
        guard let one = Int64(exactly: numerator / divisor), let other = Int64(exactly: denominator / divisor) else { return nil }
        // Factors of a million and more are no corporate action, and their products would leave 128 bits.
        guard one / other < 1_000_000, other / one < 1_000_000 else { return nil }
        return (one, other)
    }
}

/// The greatest number that divides both; of numbers above zero.
func greatestCommonDivisor(_ left: Int128, _ right: Int128) -> Int128 {
    var (one, other) = (left, right)
    while other != 0 { (one, other) = (other, one % other) }
    return one
}

/// The nearest whole number to a quotient; halves go away from zero. The divisor is above zero.
func roundedQuotient(_ value: Int128, _ divisor: Int128) -> Int128 {
    let (quotient, rest) = value.quotientAndRemainder(dividingBy: divisor)
    let magnitude = rest < 0 ? -rest : rest
    guard magnitude >= divisor - magnitude else { return quotient }
    return value < 0 ? quotient - 1 : quotient + 1
}
