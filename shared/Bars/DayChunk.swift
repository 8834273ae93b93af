/// The stored form of one day of bars: a header that can be read alone, then the columns, compressed and checked.
///
/// Layout, little-endian: `AUDC`, codec version (2 bytes), flags (2), rows (4), plain length of the columns (4), CRC-32 of everything but
/// itself (4), first start (8), last end (8), then the columns; flag 1 says that they are zstd-compressed (tiny ones are not).
public enum DayChunk {
    /// The version that this build writes.
    public static let codecVersion = 1

    /// What the header says without decoding the columns.
    public struct Header: Sendable, Equatable {
        /// The number of bars.
        public let rows: Int
        /// Start of the first bar, microseconds since 1970; 0 for an empty chunk.
        public let firstStart: Int64
        /// End of the last bar, microseconds since 1970; 0 for an empty chunk.
        public let lastEnd: Int64
        let isCompressed: Bool
        let plainLength: Int
    }

    private static let headerLength = 36
    private static let maximumPlainLength = 256 << 20

    /// Writes bars as a chunk; equal series give equal bytes.
    public static func encode(_ series: BarSeries) -> [UInt8] {
        var plain: [UInt8] = []
        plain.reserveCapacity(series.count * 24 + 64)
        ColumnCodec.encode(series.starts, to: &plain)
        var lengths = series.ends
        for index in 0..<lengths.count { lengths[index] &-= series.starts[index] }
        ColumnCodec.encode(lengths, to: &plain)
        for column in [series.open, series.high, series.low, series.close] { append(column, to: &plain) }
        if let volume = series.volume { append(volume, to: &plain) } else { plain.append(0xFF) }
        if let trades = series.trades {
            plain.append(1)
            ColumnCodec.encode(trades, to: &plain)
        } else {
            plain.append(0)
        }
        let compressed = plain.count > 200 ? Zstandard.compress(plain) : nil
        let isSmaller = (compressed?.count ?? Int.max) < plain.count
        let body = isSmaller ? compressed ?? plain : plain
        var bytes: [UInt8] = Array("AUDC".utf8)
        bytes.reserveCapacity(headerLength + body.count)
        ColumnCodec.append(UInt64(codecVersion), width: 2, to: &bytes)
        ColumnCodec.append(isSmaller ? 1 : 0, width: 2, to: &bytes)
        ColumnCodec.append(UInt64(series.count), width: 4, to: &bytes)
        ColumnCodec.append(UInt64(plain.count), width: 4, to: &bytes)
        ColumnCodec.append(0, width: 4, to: &bytes)
        ColumnCodec.append(UInt64(bitPattern: series.starts.first ?? 0), width: 8, to: &bytes)
        ColumnCodec.append(UInt64(bitPattern: series.ends.last ?? 0), width: 8, to: &bytes)
        bytes.append(contentsOf: body)
        var checksum = Checksum.crc32(bytes[...])
        for index in 16..<20 {
            bytes[index] = UInt8(truncatingIfNeeded: checksum)
            checksum >>= 8
        }
        return bytes
    }

    /// Reads the header and checks the whole chunk against its checksum.
    public static func header(of bytes: [UInt8]) throws(BarsError) -> Header {
        guard bytes.count >= headerLength, bytes[0..<4].elementsEqual("AUDC".utf8) else {
            throw BarsError.damagedChunk(reason: "it does not begin as a chunk does")
        }
        let version = Int(number(bytes, 4, 2))
        guard version == codecVersion else { throw BarsError.unknownCodecVersion(version) }
        var zeroed = bytes
        for index in 16..<20 { zeroed[index] = 0 }
        guard UInt64(Checksum.crc32(zeroed[...])) == number(bytes, 16, 4) else {
            throw BarsError.damagedChunk(reason: "its checksum does not match")
        }
        let plainLength = Int(number(bytes, 12, 4))
        guard plainLength <= maximumPlainLength else { throw BarsError.damagedChunk(reason: "it claims \(plainLength) bytes") }
        return Header(
            rows: Int(number(bytes, 8, 4)),
            firstStart: Int64(bitPattern: number(bytes, 20, 8)),
            lastEnd: Int64(bitPattern: number(bytes, 28, 8)),
            isCompressed: number(bytes, 6, 2) & 1 == 1,
            plainLength: plainLength
        )
    }

    /// Reads a chunk back; a damaged or unknown one is a typed error and never a wrong number.
    public static func decode(_ bytes: [UInt8]) throws(BarsError) -> BarSeries {
        let header = try header(of: bytes)
        let body = bytes[headerLength...]
        var plain = Array(body)
        if header.isCompressed {
            guard let unpacked = Zstandard.decompress(body, expected: header.plainLength) else {
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

    private static func append(_ column: ScaledColumn, to bytes: inout [UInt8]) {
        switch column.storage {
        case .integers(let values, let scale):
            bytes.append(UInt8(scale))
            ColumnCodec.encode(values, to: &bytes)
        case .floats(let values):
            bytes.append(0xFE)
            ColumnCodec.encode(values, to: &bytes)
        }
    }

    private static func column(_ reader: inout ColumnReader, _ rows: Int) throws(BarsError) -> ScaledColumn? {
        let kind = try reader.byte()
        switch kind {
        case 0xFF: return nil
        case 0xFE: return ScaledColumn(.floats(try reader.doubles(count: rows)))
        case 0...18: return ScaledColumn(.integers(try reader.integers(count: rows), scale: Int(kind)))
        default: throw BarsError.damagedChunk(reason: "a column has scale \(kind)")
        }
    }

    private static func number(_ bytes: [UInt8], _ at: Int, _ width: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in (at..<at + width).reversed() { value = value << 8 | UInt64(bytes[index]) }
        return value
    }
}
