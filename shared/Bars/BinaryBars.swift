/// The compact wire form of `/api/bars?format=binary`: a header of 64 bytes, then whole columns of 8-byte numbers, all little-endian.
///
/// Each column starts at a multiple of 8, so that NumPy's `frombuffer` and a JavaScript typed array read them in place. The layout is in
/// this module's README and never changes without a new version number.
public enum BinaryBars {
    /// Bits of the header's flags.
    public struct Flags: OptionSet, Sendable {
        /// The bits as they stand in the header.
        public let rawValue: UInt16
        /// Takes bits as they stand in the header.
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// A volume column follows the prices.
        public static let volume = Flags(rawValue: 1)
        /// A column of trade counts is the last one.
        public static let trades = Flags(rawValue: 2)
        /// The last bar is still running.
        public static let partialLast = Flags(rawValue: 4)
        /// Prices are the middle of bid and ask bars field by field.
        public static let approximate = Flags(rawValue: 8)
    }

    /// Bytes before the first column.
    public static let headerLength = 64

    /// Writes a series; `dataDigest` are the 32 bytes of the answer's data hash.
    public static func encode(_ series: BarSeries, intervalSeconds: Int, flags extra: Flags = [], dataDigest: [UInt8]) -> [UInt8] {
        var flags = extra
        if series.volume != nil { flags.insert(.volume) }
        if series.trades != nil { flags.insert(.trades) }
        let columns = 6 + (series.volume == nil ? 0 : 1) + (series.trades == nil ? 0 : 1)
        var bytes: [UInt8] = Array("AUSB".utf8)
        bytes.reserveCapacity(headerLength + columns * series.count * 8)
        LittleEndian.append(1, width: 2, to: &bytes)
        LittleEndian.append(UInt64(flags.rawValue), width: 2, to: &bytes)
        LittleEndian.append(UInt64(series.count), width: 8, to: &bytes)
        let priceScale = [series.open, series.high, series.low, series.close].reduce(0) { $0 < 0 ? $0 : max($0, $1.scale ?? .max) }
        LittleEndian.append(UInt64(UInt32(bitPattern: priceScale == .max ? -1 : Int32(priceScale))), width: 4, to: &bytes)
        LittleEndian.append(UInt64(UInt32(bitPattern: Int32(series.volume?.scale ?? -1))), width: 4, to: &bytes)
        LittleEndian.append(UInt64(intervalSeconds), width: 4, to: &bytes)
        LittleEndian.append(UInt64(headerLength), width: 4, to: &bytes)
        bytes.append(contentsOf: dataDigest.prefix(32))
        bytes.append(contentsOf: [UInt8](repeating: 0, count: headerLength - bytes.count))
        append(series.starts, to: &bytes)
        append(series.ends, to: &bytes)
        for column in [series.open, series.high, series.low, series.close] { append(column.doubles(), to: &bytes) }
        if let volume = series.volume { append(volume.doubles(), to: &bytes) }
        if let trades = series.trades { append(trades, to: &bytes) }
        return bytes
    }

    private static func append<Value>(_ values: [Value], to bytes: inout [UInt8]) {
        // Int64 and Float64 on the little-endian machines that we run on are already the wire form.
        values.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }
}
