/// One column of decimal numbers: exact integers over one power of ten, or Float64 where the numbers do not fit that.
///
/// A value may be missing (a volume that the vendor does not know): `Int64.min` among integers, NaN among floats.
public struct ScaledColumn: Sendable {
    /// How the values are held.
    public enum Storage: Sendable {
        /// Each value is the integer divided by `10^scale`, in half the memory: prices of a day nearly always fit.
        case narrow([Int32], scale: Int)
        /// Each value is the integer divided by `10^scale`; sums are exact in any order.
        case integers([Int64], scale: Int)
        /// The nearest Float64 of each value.
        case floats([Double])
    }

    /// The integer that stands for an unknown value.
    public static let missing = Int64.min
    /// The integer that stands for an unknown value in a narrow column.
    public static let narrowMissing = Int32.min

    /// The values in their exact or their floating form.
    public let storage: Storage

    /// Takes values as they are.
    public init(_ storage: Storage) { self.storage = storage }

    /// Takes integers over `10^scale`, in four bytes each where all of them fit.
    public init(integers values: [Int64], scale: Int) {
        let range = Int64(Int32.min + 1)...Int64(Int32.max)
        if values.allSatisfy({ range.contains($0) || $0 == Self.missing }) {
            storage = .narrow(values.map { Int32(truncatingIfNeeded: $0 == Self.missing ? Int64(Self.narrowMissing) : $0) }, scale: scale)
        } else {
            storage = .integers(values, scale: scale)
        }
    }

    /// The number of values.
    public var count: Int {
        switch storage {
        case .narrow(let values, _): values.count
        case .integers(let values, _): values.count
        case .floats(let values): values.count
        }
    }

    /// Bytes of memory that a value takes.
    public var stride: Int { if case .narrow = storage { 4 } else { 8 } }

    /// The power of ten of an exact column, or nothing for a floating one.
    public var scale: Int? {
        switch storage {
        case .narrow(_, let scale), .integers(_, let scale): scale
        case .floats: nil
        }
    }

    /// Whether the value at a row is unknown.
    public func isMissing(at index: Int) -> Bool {
        switch storage {
        case .narrow(let values, _): values[index] == Self.narrowMissing
        case .integers(let values, _): values[index] == Self.missing
        case .floats(let values): values[index].isNaN
        }
    }

    /// The nearest Float64 of one value; NaN where it is unknown.
    public func double(at index: Int) -> Double {
        switch storage {
        case .narrow(let values, let scale): values[index] == Self.narrowMissing ? .nan : decimalDouble(Int64(values[index]), scale)
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
        case .narrow(let values, let scale):
            let divisor = powerOfTen(scale)
            return values.map { $0 == Self.narrowMissing ? .nan : Double($0) / divisor }
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
        case .narrow(let values, let scale): ScaledColumn(.narrow(Array(values[range]), scale: scale))
        case .integers(let values, let scale): ScaledColumn(.integers(Array(values[range]), scale: scale))
        case .floats(let values): ScaledColumn(.floats(Array(values[range])))
        }
    }

    /// The values at the given rows, in that order.
    public func gather(_ rows: [Int]) -> ScaledColumn {
        switch storage {
        case .narrow(let values, let scale): ScaledColumn(.narrow(rows.map { values[$0] }, scale: scale))
        case .integers(let values, let scale): ScaledColumn(.integers(rows.map { values[$0] }, scale: scale))
        case .floats(let values): ScaledColumn(.floats(rows.map { values[$0] }))
        }
    }

    /// The values in the opposite order.
    public func reversed() -> ScaledColumn {
        switch storage {
        case .narrow(let values, let scale): ScaledColumn(.narrow(values.reversed(), scale: scale))
        case .integers(let values, let scale): ScaledColumn(.integers(values.reversed(), scale: scale))
        case .floats(let values): ScaledColumn(.floats(values.reversed()))
        }
    }

    /// A column without a single known value.
    static func unknown(count: Int) -> ScaledColumn {
        ScaledColumn(.narrow([Int32](repeating: narrowMissing, count: count), scale: 0))
    }

    /// One column after the other; exact if all are exact and fit the largest scale, else Float64.
    public static func concatenate(_ columns: [ScaledColumn]) -> ScaledColumn {
        if columns.count == 1 { return columns[0] }
        let total = columns.reduce(0) { $0 + $1.count }
        let filled = columns.filter { $0.count > 0 }
        if let narrow = concatenateNarrow(filled, total) { return narrow }
        if let scale = filled.reduce(Int?(0), { largest, column in column.scale.flatMap { scale in largest.map { max($0, scale) } } }) {
            var values: [Int64] = []
            values.reserveCapacity(total)
            if filled.allSatisfy({ $0.appendIntegers(at: scale, to: &values) }) { return ScaledColumn(.integers(values, scale: scale)) }
        }
        var values: [Double] = []
        values.reserveCapacity(total)
        for column in filled { values.append(contentsOf: column.doubles()) }
        return ScaledColumn(.floats(values))
    }

    /// The usual case: all in four bytes over the same power of ten.
    private static func concatenateNarrow(_ columns: [ScaledColumn], _ total: Int) -> ScaledColumn? {
        var joined: [Int32] = []
        var common: Int?
        for column in columns {
            guard case .narrow(let values, let scale) = column.storage, common == nil || common == scale else { return nil }
            if common == nil { joined.reserveCapacity(total) }
            common = scale
            joined.append(contentsOf: values)
        }
        return common.map { ScaledColumn(.narrow(joined, scale: $0)) }
    }

    /// The same values at a larger scale, or nothing if one of them then leaves 64 bits or the column is floating.
    func integers(at wanted: Int) -> [Int64]? {
        var values: [Int64] = []
        values.reserveCapacity(count)
        return appendIntegers(at: wanted, to: &values) ? values : nil
    }

    private func appendIntegers(at wanted: Int, to result: inout [Int64]) -> Bool {
        switch storage {
        case .narrow(let values, let scale):
            guard wanted >= scale, wanted - scale <= 18 else { return false }
            return Self.append(values.lazy.map { $0 == Self.narrowMissing ? Self.missing : Int64($0) }, raisedBy: wanted - scale, to: &result)
        case .integers(let values, let scale):
            guard wanted >= scale, wanted - scale <= 18 else { return false }
            return Self.append(values, raisedBy: wanted - scale, to: &result)
        case .floats: return false
        }
    }

    private static func append(_ values: some Collection<Int64>, raisedBy places: Int, to result: inout [Int64]) -> Bool {
        if places == 0 {
            result.append(contentsOf: values)
            return true
        }
        let factor = integerPowersOfTen[places]
        let limit = Int64.max / factor
        for value in values {
            if value == missing {
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
        case .narrow(let values, let scale): appendDecimal(Int64(values[index]), scale, to: &bytes)
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
        if case .narrow(let these, let leftScale) = left.storage, case .narrow(let those, let rightScale) = right.storage, leftScale == rightScale {
            return these == those
        }
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
