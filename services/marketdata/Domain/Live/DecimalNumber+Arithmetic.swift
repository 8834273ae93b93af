import Bars

/// Sums and comparisons of numbers as sources give them: exact while 64 bits hold them, else as Float64.
extension DecimalNumber {
    /// The sum, exact where both are and it fits.
    func adding(_ other: DecimalNumber) -> DecimalNumber {
        if case .exact(let left, let leftScale) = self, case .exact(let right, let rightScale) = other,
            let (one, two, scale) = Self.aligned(left, leftScale, right, rightScale)
        {
            let (sum, overflowed) = one.addingReportingOverflow(two)
            if !overflowed { return Self.shortest(sum, scale) }
        }
        return .float(double + other.double)
    }

    /// Whether it is less than the other.
    func isLess(than other: DecimalNumber) -> Bool {
        if case .exact(let left, let leftScale) = self, case .exact(let right, let rightScale) = other,
            let (one, two, _) = Self.aligned(left, leftScale, right, rightScale)
        {
            return one < two
        }
        return double < other.double
    }

    /// Whether it is a number that a price can be.
    var isFinite: Bool { if case .float(let value) = self { value.isFinite } else { true } }

    private static func aligned(_ left: Int64, _ leftScale: Int, _ right: Int64, _ rightScale: Int) -> (Int64, Int64, Int)? {
        if leftScale == rightScale { return (left, right, leftScale) }
        let scale = max(leftScale, rightScale)
        guard let one = raised(left, by: scale - leftScale), let two = raised(right, by: scale - rightScale) else { return nil }
        return (one, two, scale)
    }

    private static func raised(_ value: Int64, by places: Int) -> Int64? {
        var value = value
        for _ in 0..<places {
            let (product, overflowed) = value.multipliedReportingOverflow(by: 10)
            if overflowed { return nil }
            value = product
        }
        return value
    }

    /// Without trailing zeros after the point, as numbers are read.
    private static func shortest(_ mantissa: Int64, _ scale: Int) -> DecimalNumber {
        var (mantissa, scale) = (mantissa, scale)
        while scale > 0, mantissa % 10 == 0 {
            mantissa /= 10
            scale -= 1
        }
        return .exact(mantissa: mantissa, scale: scale)
    }
}
