/// Reads a column of a chunk of version 1: differences from row to row, folded to unsigned, in the least of 0, 1, 2, 4 or 8 bytes that holds all.
struct ColumnReader {
    let bytes: [UInt8]
    private(set) var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { at == bytes.count }

    mutating func byte() throws(BarsError) -> UInt8 {
        guard at < bytes.count else { throw BarsError.damagedChunk(reason: "a column is cut off") }
        at += 1
        return bytes[at - 1]
    }

    mutating func integers(count: Int) throws(BarsError) -> [Int64] {
        let width = Int(try byte())
        guard [0, 1, 2, 4, 8].contains(width) else { throw BarsError.damagedChunk(reason: "a column has width \(width)") }
        guard count > 0 else { return [] }
        let length = 8 + (count - 1) * width
        guard bytes.count - at >= length else { throw BarsError.damagedChunk(reason: "a column is cut off") }
        let start = at
        at += length
        return bytes.withUnsafeBytes { raw in
            [Int64](unsafeUninitializedCapacity: count) { buffer, filled in
                var value: Int64 = unfold(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: start, as: UInt64.self)))
                buffer.initializeElement(at: 0, to: value)
                let body = UnsafeRawBufferPointer(rebasing: raw[(start + 8)..<(start + length)])
                for index in 1..<max(count, 1) {
                    let folded: UInt64 =
                        switch width {
                        case 0: 0
                        case 1: UInt64(body[index - 1])
                        case 2: UInt64(UInt16(littleEndian: body.loadUnaligned(fromByteOffset: (index - 1) * 2, as: UInt16.self)))
                        case 4: UInt64(UInt32(littleEndian: body.loadUnaligned(fromByteOffset: (index - 1) * 4, as: UInt32.self)))
                        default: UInt64(littleEndian: body.loadUnaligned(fromByteOffset: (index - 1) * 8, as: UInt64.self))
                        }
                    value &+= unfold(folded)
                    buffer.initializeElement(at: index, to: value)
                }
                filled = count
            }
        }
    }

    mutating func doubles(count: Int) throws(BarsError) -> [Double] {
        guard (bytes.count - at) / 8 >= count else { throw BarsError.damagedChunk(reason: "a column is cut off") }
        let start = at
        at += count * 8
        return bytes.withUnsafeBytes { raw in
            (0..<count).map { Double(bitPattern: UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: start + $0 * 8, as: UInt64.self))) }
        }
    }
}
