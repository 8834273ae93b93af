/// Reads what `BytePlanes` wrote; every step is checked against the bytes that are there.
struct BytePlanesReader: ~Copyable {
    private let bytes: [UInt8]
    private let decompressor = Zstandard.Decompressor()
    private var at: Int

    init(_ bytes: [UInt8], from start: Int) {
        self.bytes = bytes
        at = start
    }

    var isAtEnd: Bool { at == bytes.count }

    /// A column's head.
    private struct Head {
        var form: BytePlanes.Form
        var planes: Int
        var base: Int64
        var factor: Int64
        var first: Int64
    }

    /// One column of integers, in four or eight bytes each as it was written.
    mutating func column(count: Int, scale: Int) throws(BarsError) -> ScaledColumn {
        let head = try head()
        if head.form.contains(.narrow) {
            return ScaledColumn(.narrow(try values(count, head, UInt32.self, missing: ScaledColumn.narrowMissing), scale: scale))
        }
        return ScaledColumn(.integers(try values(count, head, UInt64.self, missing: ScaledColumn.missing), scale: scale))
    }

    mutating func integers(count: Int) throws(BarsError) -> [Int64] { try values(count, try head(), UInt64.self, missing: ScaledColumn.missing) }

    /// What is left of foretold prices, without its factor, and the factor.
    mutating func residuals<Number: FixedWidthInteger & UnsignedInteger>(
        count: Int,
        as type: Number.Type
    ) throws(BarsError) -> (numbers: [Number], factor: Int64) {
        let head = try head()
        guard head.form.subtracting(.narrow) == [.folded] else { throw BarsError.damagedChunk(reason: "a price column has no residuals") }
        return (try numbers(count, head.planes), head.factor)
    }

    mutating func doubles(count: Int) throws(BarsError) -> [Double] {
        var bits: [UInt64] = try numbers(count, try head().planes)
        for row in 1..<max(count, 1) { bits[row] ^= bits[row - 1] }
        return bits.map { Double(bitPattern: $0) }
    }

    mutating func byte() throws(BarsError) -> UInt8 {
        guard at < bytes.count else { throw BarsError.damagedChunk(reason: "a column is cut off") }
        at += 1
        return bytes[at - 1]
    }

    mutating func signed() throws(BarsError) -> Int64 { unfold(try unsigned()) }

    private mutating func unsigned() throws(BarsError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let next = try byte()
            guard shift < 63 || (shift == 63 && next <= 1) else { throw BarsError.damagedChunk(reason: "a number has too many bytes") }
            value |= UInt64(next & 0x7F) << shift
            if next < 0x80 { return value }
            shift += 7
        }
    }

    private mutating func head() throws(BarsError) -> Head {
        let flags = try byte()
        let form = BytePlanes.Form(rawValue: flags & ~BytePlanes.Form.planes)
        let planes = Int(flags & BytePlanes.Form.planes)
        guard planes <= 8 else { throw BarsError.damagedChunk(reason: "a column has \(planes) planes") }
        let base = try signed()
        let factor = Int64(bitPattern: try unsigned())
        return Head(form: form, planes: planes, base: base, factor: factor, first: form.contains(.running) ? try signed() : 0)
    }

    private mutating func values<Number: FixedWidthInteger & UnsignedInteger, Value: FixedWidthInteger & SignedInteger>(
        _ count: Int,
        _ head: Head,
        _ type: Number.Type,
        missing: Value
    ) throws(BarsError) -> [Value] {
        let numbers: [Number] = try numbers(count, head.planes)
        let (base, factor) = (Value(truncatingIfNeeded: head.base), Value(truncatingIfNeeded: head.factor))
        let (isFolded, hasGaps) = (head.form.contains(.folded), head.form.contains(.gaps))
        return numbers.withUnsafeBufferPointer { numbers in
            [Value](unsafeUninitializedCapacity: count) { buffer, filled in
                if head.form.contains(.running) {
                    var value = Value(truncatingIfNeeded: head.first)
                    if count > 0 { buffer.initializeElement(at: 0, to: value) }
                    for row in 1..<max(count, 1) {
                        value &+= base &+ factor &* (isFolded ? unfold(numbers[row]) : Value(truncatingIfNeeded: numbers[row]))
                        buffer.initializeElement(at: row, to: value)
                    }
                } else if hasGaps {
                    for row in 0..<count {
                        let number = numbers[row]
                        buffer.initializeElement(at: row, to: number == 0 ? missing : base &+ factor &* Value(truncatingIfNeeded: number &- 1))
                    }
                } else if isFolded {
                    for row in 0..<count { buffer.initializeElement(at: row, to: base &+ factor &* unfold(numbers[row])) }
                } else {
                    for row in 0..<count { buffer.initializeElement(at: row, to: base &+ factor &* Value(truncatingIfNeeded: numbers[row])) }
                }
                filled = count
            }
        }
    }

    /// The planes put together again.
    private mutating func numbers<Number: FixedWidthInteger & UnsignedInteger>(_ count: Int, _ planes: Int) throws(BarsError) -> [Number] {
        guard planes > 0, count > 0 else { return [Number](repeating: 0, count: count) }
        guard planes * 8 <= Number.bitWidth else { throw BarsError.damagedChunk(reason: "a column has \(planes) planes") }
        var numbers = [Number](repeating: 0, count: count)
        for index in 0..<planes {
            let plane = try plane(count)
            numbers.withUnsafeMutableBufferPointer { numbers in
                plane.withUnsafeBufferPointer { plane in
                    let shift = Number(truncatingIfNeeded: index * 8)
                    for row in 0..<count { numbers[row] |= Number(truncatingIfNeeded: plane[row]) &<< shift }
                }
            }
        }
        return numbers
    }

    private mutating func plane(_ count: Int) throws(BarsError) -> [UInt8] {
        let length = try unsigned()
        let stored = Int(clamping: length >> 1)
        guard stored <= bytes.count - at else { throw BarsError.damagedChunk(reason: "a column is cut off") }
        let body = bytes[at..<at + stored]
        at += stored
        if length & 1 == 1 {
            guard let plane = body.withUnsafeBytes({ decompressor.decompress($0, expected: count) }) else {
                throw BarsError.damagedChunk(reason: "a column does not decompress")
            }
            return plane
        }
        guard stored == count else { throw BarsError.damagedChunk(reason: "a column has the wrong length") }
        return Array(body)
    }
}

@inline(__always) func unfold<Number: FixedWidthInteger & UnsignedInteger, Value: FixedWidthInteger & SignedInteger>(_ number: Number) -> Value {
    Value(truncatingIfNeeded: (number &>> 1) ^ (0 &- (number & 1)))
}
