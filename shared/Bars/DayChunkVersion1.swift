/// The stored form of days that were imported before version 2; it is read and never written.
///
/// Layout, little-endian: `AUDC`, codec version (2 bytes), flags (2), rows (4), plain length of the columns (4), CRC-32 of everything but
/// itself (4), first start (8), last end (8), then the columns; flag 1 says that they are zstd-compressed (tiny ones are not).
enum DayChunkVersion1 {
    static let codecVersion = 1

    private struct Header {
        var rows: Int
        var firstStart: Int64
        var lastEnd: Int64
        var isCompressed: Bool
        var plainLength: Int
    }

    private static let headerLength = 36
    private static let maximumPlainLength = 256 << 20

    static func header(of bytes: [UInt8]) throws(BarsError) -> DayChunk.Header {
        let header = try checked(bytes)
        return DayChunk.Header(version: codecVersion, rows: header.rows, firstStart: header.firstStart, lastEnd: header.lastEnd, prices: nil)
    }

    private static func checked(_ bytes: [UInt8]) throws(BarsError) -> Header {
        var zeroed = bytes
        for index in 16..<20 { zeroed[index] = 0 }
        guard UInt64(Checksum.crc32(zeroed[...])) == LittleEndian.number(bytes, 16, width: 4) else {
            throw BarsError.damagedChunk(reason: "its checksum does not match")
        }
        let plainLength = Int(LittleEndian.number(bytes, 12, width: 4))
        guard plainLength <= maximumPlainLength else { throw BarsError.damagedChunk(reason: "it claims \(plainLength) bytes") }
        return Header(
            rows: Int(LittleEndian.number(bytes, 8, width: 4)),
            firstStart: Int64(bitPattern: LittleEndian.number(bytes, 20, width: 8)),
            lastEnd: Int64(bitPattern: LittleEndian.number(bytes, 28, width: 8)),
            isCompressed: LittleEndian.number(bytes, 6, width: 2) & 1 == 1,
            plainLength: plainLength
        )
    }

    static func decode(_ bytes: [UInt8]) throws(BarsError) -> BarSeries {
        let header = try checked(bytes)
        let body = bytes[headerLength...]
        var plain = Array(body)
        if header.isCompressed {
            guard let unpacked = body.withUnsafeBytes({ Zstandard.Decompressor().decompress($0, expected: header.plainLength) }) else {
                throw BarsError.damagedChunk(reason: "its columns do not decompress")
            }
            plain = unpacked
        }
        var reader = ColumnReader(plain)
        let starts = try reader.integers(count: header.rows)
        var ends = try reader.integers(count: header.rows)
        for index in 0..<ends.count { ends[index] &+= starts[index] }
        let open = try column(&reader, header.rows)
        let high = try column(&reader, header.rows)
        let low = try column(&reader, header.rows)
        let close = try column(&reader, header.rows)
        guard let open, let high, let low, let close else { throw BarsError.damagedChunk(reason: "a price column is absent") }
        let volume = try column(&reader, header.rows)
        let trades = try reader.byte() == 1 ? try reader.integers(count: header.rows) : nil
        guard reader.isAtEnd else { throw BarsError.damagedChunk(reason: "bytes follow the last column") }
        return try BarSeries(starts: starts, ends: ends, open: open, high: high, low: low, close: close, volume: volume, trades: trades)
    }

    private static func column(_ reader: inout ColumnReader, _ rows: Int) throws(BarsError) -> ScaledColumn? {
        let kind = try reader.byte()
        switch kind {
        case 0xFF: return nil
        case 0xFE: return ScaledColumn(.floats(try reader.doubles(count: rows)))
        case 0...18: return ScaledColumn(integers: try reader.integers(count: rows), scale: Int(kind))
        default: throw BarsError.damagedChunk(reason: "a column has scale \(kind)")
        }
    }
}
