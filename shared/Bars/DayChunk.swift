import CBars

/// The stored form of one day of bars: a header that can be read alone, then the columns, compressed and checked.
///
/// Layout, little-endian: `AUDC`, codec version (2 bytes), zero (2), checksum (8: XXH3 of all that follows it), flags (4), rows (4), first start (8), last end
/// (8), lowest and highest price (8 each, Float64), then the columns as `BytePlanes` writes them: starts, lengths, open, high, low, close, volume, trades. A
/// column of decimals begins with their number of places, or with 0xFE for Float64.
///
/// Prices of one scale are foretold: the open by the close before, the close by the open, the high and the low by the two; what is stored is what is left.
public enum DayChunk {
    /// The version that this build writes; it reads version 1 as well.
    public static let codecVersion = 2

    /// What the header says without decoding the columns.
    public struct Header: Sendable, Equatable {
        /// The codec that wrote the chunk.
        public let version: Int
        /// The number of bars.
        public let rows: Int
        /// Start of the first bar, microseconds since 1970; 0 for an empty chunk.
        public let firstStart: Int64
        /// End of the last bar, microseconds since 1970; 0 for an empty chunk.
        public let lastEnd: Int64
        /// The lowest and the highest price; nothing for an empty chunk, and for one of version 1.
        public let prices: ClosedRange<Double>?
    }

    private struct Flags: OptionSet {
        let rawValue: UInt32
        static let volume = Flags(rawValue: 1)
        static let trades = Flags(rawValue: 2)
        /// Prices are foretold from one another.
        static let foretold = Flags(rawValue: 4)
        static let all: Flags = [.volume, .trades, .foretold]
    }

    private static let headerLength = 56
    private static let checksumPlace = 8..<16
    /// More rows than a day of a hundred bars a second.
    private static let maximumRows = 10_000_000
    private static let float: UInt8 = 0xFE

    // MARK: Writing

    /// Writes bars as a chunk; equal series of equal scales give equal bytes.
    public static func encode(_ series: BarSeries) -> [UInt8] {
        let compressor = Zstandard.Compressor(level: 3)
        var flags: Flags = []
        if series.volume != nil { flags.insert(.volume) }
        if series.trades != nil { flags.insert(.trades) }
        let foretold = ForetoldPrices(series)
        if foretold != nil { flags.insert(.foretold) }
        let range = series.priceRange
        var bytes: [UInt8] = Array("AUDC".utf8)
        bytes.reserveCapacity(headerLength + series.count * 4 + 200)
        LittleEndian.append(UInt64(codecVersion), width: 4, to: &bytes)
        LittleEndian.append(0, width: checksumPlace.count, to: &bytes)
        LittleEndian.append(UInt64(flags.rawValue), width: 4, to: &bytes)
        LittleEndian.append(UInt64(series.count), width: 4, to: &bytes)
        LittleEndian.append(UInt64(bitPattern: series.starts.first ?? 0), width: 8, to: &bytes)
        LittleEndian.append(UInt64(bitPattern: series.ends.last ?? 0), width: 8, to: &bytes)
        LittleEndian.append((range?.lowerBound ?? 0).bitPattern, width: 8, to: &bytes)
        LittleEndian.append((range?.upperBound ?? 0).bitPattern, width: 8, to: &bytes)

        BytePlanes.append(series.starts, nature: .rising, compressor: compressor, to: &bytes)
        var lengths = series.ends
        for row in 0..<lengths.count { lengths[row] &-= series.starts[row] }
        BytePlanes.append(lengths, nature: .amounts, compressor: compressor, to: &bytes)
        if let foretold {
            foretold.append(compressor: compressor, to: &bytes)
        } else {
            for column in [series.open, series.high, series.low, series.close] { append(column, .wandering, compressor, to: &bytes) }
        }
        if let volume = series.volume { append(volume, .amounts, compressor, to: &bytes) }
        if let trades = series.trades { BytePlanes.append(trades, nature: .amounts, compressor: compressor, to: &bytes) }
        var checksum = checksum(bytes)
        for index in checksumPlace {
            bytes[index] = UInt8(truncatingIfNeeded: checksum)
            checksum >>= 8
        }
        return bytes
    }

    private static func append(_ column: ScaledColumn, _ nature: BytePlanes.Nature, _ compressor: Zstandard.Compressor, to bytes: inout [UInt8]) {
        switch column.storage {
        case .narrow(let values, let scale):
            bytes.append(UInt8(scale))
            let wide = values.map { $0 == ScaledColumn.narrowMissing && nature == .amounts ? ScaledColumn.missing : Int64($0) }
            BytePlanes.append(wide, nature: nature, isNarrow: true, compressor: compressor, to: &bytes)
        case .integers(let values, let scale):
            bytes.append(UInt8(scale))
            BytePlanes.append(values, nature: nature, compressor: compressor, to: &bytes)
        case .floats(let values):
            bytes.append(float)
            BytePlanes.append(values, compressor: compressor, to: &bytes)
        }
    }

    static func checksum(_ bytes: [UInt8]) -> UInt64 {
        bytes.withUnsafeBytes { raw in
            let covered = UnsafeRawBufferPointer(rebasing: raw[checksumPlace.upperBound...])
            return auspex_bars_checksum(covered.baseAddress, Int64(covered.count))
        }
    }

    // MARK: Reading

    /// Reads the header and checks the whole chunk against its checksum.
    public static func header(of bytes: [UInt8]) throws(BarsError) -> Header { try checked(bytes).header }

    private static func checked(_ bytes: [UInt8]) throws(BarsError) -> (header: Header, flags: Flags) {
        guard bytes.count >= 36, bytes[0..<4].elementsEqual("AUDC".utf8) else {
            throw BarsError.damagedChunk(reason: "it does not begin as a chunk does")
        }
        let version = Int(LittleEndian.number(bytes, 4, width: 2))
        if version == DayChunkVersion1.codecVersion { return (try DayChunkVersion1.header(of: bytes), []) }
        guard version == codecVersion else { throw BarsError.unknownCodecVersion(version) }
        guard bytes.count >= headerLength, LittleEndian.number(bytes, 6, width: 2) == 0,
            checksum(bytes) == LittleEndian.number(bytes, checksumPlace.lowerBound, width: 8)
        else { throw BarsError.damagedChunk(reason: "its checksum does not match") }
        let flags = Flags(rawValue: UInt32(LittleEndian.number(bytes, 16, width: 4)))
        let rows = Int(LittleEndian.number(bytes, 20, width: 4))
        guard flags.isSubset(of: .all), rows <= maximumRows else { throw BarsError.damagedChunk(reason: "its header says what no build wrote") }
        let lowest = Double(bitPattern: LittleEndian.number(bytes, 40, width: 8))
        let highest = Double(bitPattern: LittleEndian.number(bytes, 48, width: 8))
        let header = Header(
            version: version,
            rows: rows,
            firstStart: Int64(bitPattern: LittleEndian.number(bytes, 24, width: 8)),
            lastEnd: Int64(bitPattern: LittleEndian.number(bytes, 32, width: 8)),
            prices: rows > 0 && lowest <= highest ? lowest...highest : nil
        )
        return (header, flags)
    }

    /// Reads a chunk back; a damaged or unknown one is a typed error and never a wrong number.
    public static func decode(_ bytes: [UInt8]) throws(BarsError) -> BarSeries {
        let (header, flags) = try checked(bytes)
        if header.version == DayChunkVersion1.codecVersion { return try DayChunkVersion1.decode(bytes) }
        var reader = BytePlanesReader(bytes, from: headerLength)
        let starts = try reader.integers(count: header.rows)
        var ends = try reader.integers(count: header.rows)
        for row in 0..<ends.count { ends[row] &+= starts[row] }
        let prices: [ScaledColumn]
        if flags.contains(.foretold) {
            prices = try ForetoldPrices.read(&reader, count: header.rows)
        } else {
            var columns: [ScaledColumn] = []
            for _ in 0..<4 { columns.append(try column(&reader, header.rows)) }
            prices = columns
        }
        let volume = flags.contains(.volume) ? try column(&reader, header.rows) : nil
        let trades = flags.contains(.trades) ? try reader.integers(count: header.rows) : nil
        guard reader.isAtEnd else { throw BarsError.damagedChunk(reason: "bytes follow the last column") }
        return try BarSeries(
            starts: starts,
            ends: ends,
            open: prices[0],
            high: prices[1],
            low: prices[2],
            close: prices[3],
            volume: volume,
            trades: trades
        )
    }

    private static func column(_ reader: inout BytePlanesReader, _ rows: Int) throws(BarsError) -> ScaledColumn {
        let kind = try reader.byte()
        switch kind {
        case float: return ScaledColumn(.floats(try reader.doubles(count: rows)))
        case 0...18: return try reader.column(count: rows, scale: Int(kind))
        default: throw BarsError.damagedChunk(reason: "a column has scale \(kind)")
        }
    }
}

extension BarSeries {
    /// The lowest and the highest price.
    fileprivate var priceRange: ClosedRange<Double>? {
        guard count > 0 else { return nil }
        var groups = Aggregation()
        groups.append(0..<count)
        let (lowest, highest) = (groups.smallest(low).double(at: 0), groups.largest(high).double(at: 0))
        return lowest <= highest ? lowest...highest : nil
    }
}

/// Whole numbers byte by byte, the lowest first.
enum LittleEndian {
    static func append(_ value: UInt64, width: Int, to bytes: inout [UInt8]) {
        var rest = value
        for _ in 0..<width {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    static func number(_ bytes: [UInt8], _ at: Int, width: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in (at..<at + width).reversed() { value = value << 8 | UInt64(bytes[index]) }
        return value
    }
}
