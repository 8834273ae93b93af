import Bars

/// Decimals in plain digits as integers over one power of ten, which grows with the longest fraction; four bytes each as long as all fit.
struct PlainDecimals {
    private(set) var scale = 0
    private var narrow: [Int32] = []
    /// All values, from the first on that does not fit four bytes.
    private var wide: [Int64] = []
    private var isWide = false

    mutating func reserveCapacity(_ count: Int) { narrow.reserveCapacity(count) }

    /// Reads a number at a place and moves on to what follows it; false when none stands there in plain digits, or one too long.
    @inline(__always)
    mutating func append(_ text: UnsafeBufferPointer<UInt8>, _ place: inout Int) -> Bool {
        var at = place
        let isNegative = at < text.count && text[at] == 0x2D
        if isNegative { at += 1 }
        let start = at
        var value: Int64 = 0
        var point = -1
        while at < text.count {
            let digit = text[at] &- 0x30
            if digit < 10 {
                value = value &* 10 &+ Int64(digit)
            } else if text[at] == 0x2E, point < 0 {
                point = at
            } else {
                break
            }
            at += 1
        }
        let digits = at - start - (point < 0 ? 0 : 1)
        guard digits > 0, digits <= 18 else { return false }
        let places = point < 0 ? 0 : at - point - 1
        if places != scale {
            guard places < scale ? Self.raise(&value, by: scale - places) : rescale(to: places) else { return false }
        }
        append(isNegative ? -value : value)
        place = at
        return true
    }

    @inline(__always)
    private mutating func append(_ value: Int64) {
        if !isWide {
            // The least of four bytes stands for an unknown value.
            if value > Int64(Int32.min), value <= Int64(Int32.max) { return narrow.append(Int32(truncatingIfNeeded: value)) }
            widen()
        }
        wide.append(value)
    }

    private mutating func widen() {
        wide = narrow.map { Int64($0) }
        wide.reserveCapacity(narrow.capacity)
        narrow = []
        isWide = true
    }

    /// The least scale that holds all values: zeros in which all end are no precision.
    var leastScale: Int {
        var least = scale
        while least > 0, allAreMultiples(of: Self.powers[scale - least + 1]) { least -= 1 }
        return least
    }

    private func allAreMultiples(of divisor: Int64) -> Bool {
        isWide ? wide.allSatisfy { $0 % divisor == 0 } : narrow.allSatisfy { Int64($0) % divisor == 0 }
    }

    var isAllZero: Bool { allAreMultiples(of: .max) }

    var hasNegative: Bool { isWide ? wide.contains { $0 < 0 } : narrow.contains { $0 < 0 } }

    /// Holds the values at another scale, at which all of them are whole; false when one would leave 64 bits.
    mutating func rescale(to wanted: Int) -> Bool {
        if wanted == scale { return true }
        guard wanted <= 18 else { return false }
        if !isWide { widen() }
        for row in wide.indices {
            if wanted < scale {
                wide[row] /= Self.powers[scale - wanted]
            } else if !Self.raise(&wide[row], by: wanted - scale) {
                return false
            }
        }
        scale = wanted
        if case .narrow(let values, _) = ScaledColumn(integers: wide, scale: scale).storage {
            narrow = values
            narrow.reserveCapacity(wide.capacity)
            wide = []
            isWide = false
        }
        return true
    }

    var column: ScaledColumn { isWide ? ScaledColumn(.integers(wide, scale: scale)) : ScaledColumn(.narrow(narrow, scale: scale)) }

    /// Whether in every row `low` ≤ open, close ≤ `high`; all of one scale.
    static func areBars(open: PlainDecimals, high: PlainDecimals, low: PlainDecimals, close: PlainDecimals) -> Bool {
        if !open.isWide, !high.isWide, !low.isWide, !close.isWide { return areBars(open.narrow, high.narrow, low.narrow, close.narrow) }
        func all(_ column: PlainDecimals) -> [Int64] { column.isWide ? column.wide : column.narrow.map { Int64($0) } }
        return areBars(all(open), all(high), all(low), all(close))
    }

    private static func areBars<Value: FixedWidthInteger>(_ open: [Value], _ high: [Value], _ low: [Value], _ close: [Value]) -> Bool {
        let (open, high, low, close) = (open.span, high.span, low.span, close.span)
        var isSo = true
        for row in 0..<open.count {
            let (opening, closing) = (open[unchecked: row], close[unchecked: row])
            isSo = isSo && high[unchecked: row] >= max(opening, closing) && low[unchecked: row] <= min(opening, closing)
        }
        return isSo
    }

    private static func raise(_ value: inout Int64, by places: Int) -> Bool {
        guard places <= 18 else { return false }
        let (product, overflow) = value.multipliedReportingOverflow(by: powers[places])
        value = product
        return !overflow && product != ScaledColumn.missing
    }

    private static let powers: [Int64] = (0...18).map { places in (0..<places).reduce(1) { product, _ in product * 10 } }
}
