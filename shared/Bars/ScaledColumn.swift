/// One column of decimal numbers: exact integers over one power of ten, or Float64 where the numbers do not fit that.
///
/// A value may be missing (a volume that the vendor does not know): `Int64.min` among integers, NaN among floats.
public struct ScaledColumn: Sendable {
    /// How the values are held.
    public enum Storage: Sendable {
        /// Each value is the integer divided by `10^scale`; sums are exact in any order.
        case integers([Int64], scale: Int)
        /// The nearest Float64 of each value.
        case floats([Double])
    }

    /// The integer that stands for an unknown value.
    public static let missing = Int64.min

    /// The values in their exact or their floating form.
    public let storage: Storage

    /// Takes values as they are.
    public init(_ storage: Storage) { self.storage = storage }

    /// The number of values.
    public var count: Int {
        switch storage {
        case .integers(let values, _): values.count
        case .floats(let values): values.count
        }
    }

    /// The power of ten of an exact column, or nothing for a floating one.
    public var scale: Int? {
        if case .integers(_, let scale) = storage { return scale }
        return nil
    }

    /// Whether the value at a row is unknown.
    public func isMissing(at index: Int) -> Bool {
        switch storage {
        case .integers(let values, _): values[index] == Self.missing
        case .floats(let values): values[index].isNaN
        }
    }

    /// The nearest Float64 of one value; NaN where it is unknown.
    public func double(at index: Int) -> Double {
        switch storage {
        case .integers(let values, let scale): values[index] == Self.missing ? .nan : decimalDouble(values[index], scale)
        case .floats(let values): values[index]
        }
    }

    /// One value as decimal text, or nothing where it is unknown.
    public func text(at index: Int) -> String? {
        if isMissing(at: index) { return nil }
        var bytes: [UInt8] = []
        append(at: index, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// All values as Float64, NaN where unknown.
    public func doubles() -> [Double] {
        switch storage {
        case .floats(let values): return values
        case .integers(let values, let scale):
            return [Double](unsafeUninitializedCapacity: values.count) { buffer, count in
                let divisor = powerOfTen(scale)
                for index in 0..<values.count {
                    let value = values[index]
                    if value.magnitude <= 1 << 53 {
                        buffer.initializeElement(at: index, to: Double(value) / divisor)
                    } else {
                        buffer.initializeElement(at: index, to: value == Self.missing ? .nan : decimalDouble(value, scale))
                    }
                }
                count = values.count
            }
        }
    }

    /// The values of a range of rows.
    public func slice(_ range: Range<Int>) -> ScaledColumn {
        switch storage {
        case .integers(let values, let scale): ScaledColumn(.integers(Array(values[range]), scale: scale))
        case .floats(let values): ScaledColumn(.floats(Array(values[range])))
        }
    }

    /// The values at the given rows, in that order.
    func gather(_ rows: [Int]) -> ScaledColumn {
        switch storage {
        case .integers(let values, let scale): ScaledColumn(.integers(rows.map { values[$0] }, scale: scale))
        case .floats(let values): ScaledColumn(.floats(rows.map { values[$0] }))
        }
    }

    /// The values in the opposite order.
    public func reversed() -> ScaledColumn {
        switch storage {
        case .integers(let values, let scale): ScaledColumn(.integers(values.reversed(), scale: scale))
        case .floats(let values): ScaledColumn(.floats(values.reversed()))
        }
    }

    /// A column without a single known value.
    static func unknown(count: Int) -> ScaledColumn {
        ScaledColumn(.integers([Int64](repeating: missing, count: count), scale: 0))
    }

    /// One column after the other; exact if all are exact and fit the largest scale, else Float64.
    public static func concatenate(_ columns: [ScaledColumn]) -> ScaledColumn {
        if columns.count == 1 { return columns[0] }
        let total = columns.reduce(0) { $0 + $1.count }
        var scale = 0
        for column in columns where column.count > 0 { scale = max(scale, column.scale ?? 99) }
        if scale < 99 {
            var values: [Int64] = []
            values.reserveCapacity(total)
            var fits = true
            for column in columns where column.count > 0 && fits { fits = column.appendIntegers(at: scale, to: &values) }
            if fits { return ScaledColumn(.integers(values, scale: scale)) }
        }
        var values: [Double] = []
        values.reserveCapacity(total)
        for column in columns { values.append(contentsOf: column.doubles()) }
        return ScaledColumn(.floats(values))
    }

    /// The same values at a larger scale, or nothing if one of them then leaves 64 bits or the column is floating.
    func integers(at wanted: Int) -> [Int64]? {
        var values: [Int64] = []
        values.reserveCapacity(count)
        return appendIntegers(at: wanted, to: &values) ? values : nil
    }

    private func appendIntegers(at wanted: Int, to result: inout [Int64]) -> Bool {
        guard case .integers(let values, let scale) = storage, wanted >= scale, wanted - scale <= 18 else { return false }
        if wanted == scale {
            result.append(contentsOf: values)
            return true
        }
        let factor = integerPowersOfTen[wanted - scale]
        let limit = Int64.max / factor
        for value in values {
            if value == Self.missing {
                result.append(value)
            } else if value.magnitude <= limit.magnitude {
                result.append(value &* factor)
            } else {
                return false
            }
        }
        return true
    }

    /// Writes one known value as decimal text.
    func append(at index: Int, to bytes: inout [UInt8]) {
        switch storage {
        case .integers(let values, let scale): appendDecimal(values[index], scale, to: &bytes)
        case .floats(let values):
            let value = values[index]
            if let number = DecimalNumber("\(value)"), case .exact(let mantissa, let scale) = number {
                appendDecimal(mantissa, scale, to: &bytes)
            } else {
                bytes.append(contentsOf: "\(value)".utf8)
            }
        }
    }
}

extension ScaledColumn: Equatable {
    /// Columns are equal when they hold the same numbers, whatever their scale; unknown equals unknown.
    public static func == (left: ScaledColumn, right: ScaledColumn) -> Bool {
        guard left.count == right.count else { return false }
        if let leftScale = left.scale, let rightScale = right.scale {
            let scale = max(leftScale, rightScale)
            if let these = left.integers(at: scale), let those = right.integers(at: scale) { return these == those }
        }
        for index in 0..<left.count {
            let one = left.double(at: index)
            let other = right.double(at: index)
            if one != other, !(one.isNaN && other.isNaN) { return false }
        }
        return true
    }
}
