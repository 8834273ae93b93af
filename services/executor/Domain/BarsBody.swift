import Contracts

/// An answer of market data in the binary form, checked but not unpacked: its columns go to the sandbox as they came.
///
/// The layout is that of the module Bars: a header of 64 bytes, then columns of 8-byte numbers, little-endian.
struct BarsBody: Sendable {
    /// Why bytes are no answer in the binary form.
    struct Malformed: Error, Sendable, CustomStringConvertible {
        /// What is wrong with them.
        var description: String
    }

    /// The bytes as they came.
    let bytes: [UInt8]
    /// The number of bars.
    let count: Int
    private let hasVolume: Bool
    private let priceDecimals: Int
    private let columnsStart: Int

    /// Checks that the bytes hold what their header says.
    init(_ bytes: [UInt8]) throws(Malformed) {
        guard bytes.count >= 64, bytes.starts(with: Array("AUSB".utf8)) else { throw Malformed(description: "the bars do not begin with AUSB") }
        func number(_ offset: Int, _ width: Int) -> UInt64 {
            (0..<width).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
        }
        guard number(4, 2) == 1 else { throw Malformed(description: "the bars have version \(number(4, 2)), this executor knows 1") }
        let flags = number(6, 2)
        let start = Int(number(28, 4))
        let columns = UInt64(6 + (flags & 1 == 0 ? 0 : 1) + (flags & 2 == 0 ? 0 : 1))
        let rows = number(8, 8)
        guard rows <= 10_000_000, start >= 64, start % 8 == 0, bytes.count == start + Int(columns * rows) * 8 else {
            throw Malformed(description: "the bars have \(bytes.count) bytes, which does not fit \(rows) rows of \(columns) columns")
        }
        self.bytes = bytes
        count = Int(rows)
        hasVolume = flags & 1 != 0
        priceDecimals = Int(Int32(truncatingIfNeeded: Int64(number(16, 4))))
        columnsStart = start
    }

    /// Where each column begins, from the start of the bytes; nil for a volume that is not there.
    func offset(of column: String) -> Int? {
        switch column {
        case "time": columnsStart
        case "open": columnsStart + 16 * count
        case "high": columnsStart + 24 * count
        case "low": columnsStart + 32 * count
        case "close": columnsStart + 40 * count
        case "volume": hasVolume ? columnsStart + 48 * count : nil
        default: nil
        }
    }

    /// When the last bar ended; nil without bars.
    var lastEnd: Timestamp? {
        count == 0 ? nil : Timestamp(microseconds: Int64(bitPattern: word(columnsStart + 16 * count - 8)))
    }

    /// The last close, with the digits that the market has; nil without bars.
    var lastClose: DecimalText? {
        guard count > 0 else { return nil }
        let value = Double(bitPattern: word(columnsStart + 48 * count - 8))
        guard value.isFinite else { return nil }
        if priceDecimals >= 0, priceDecimals <= 18 {
            var scaled = value
            for _ in 0..<priceDecimals { scaled *= 10 }
            if let units = Int64(exactly: scaled.rounded()), units.magnitude <= 1 << 53 { return DecimalText(units: units, scale: priceDecimals) }
        }
        return JSONNumber(value)?.decimal
    }

    private func word(_ offset: Int) -> UInt64 {
        bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    }
}
