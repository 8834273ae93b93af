/// Bars as an Arrow IPC stream: one schema, one record batch, the end; readers map its columns without copying them.
///
/// The schema never changes: `start` and `end` (timestamp[us, UTC]), `open`, `high`, `low`, `close` (float64), `volume` (float64) and
/// `trades` (int64), the last two null where unknown. The floats are the nearest to the exact decimals, as in the binary form:
/// `round(x * 10**price_decimals)` gives the exact integer back up to 2^53.
public enum ArrowStream {
    /// The media type of the form.
    public static let mediaType = "application/vnd.apache.arrow.stream"

    /// The columns by name, with Arrow's name of their type.
    public static let columns: [(name: String, type: String, isNullable: Bool)] = [
        ("start", "timestamp[us, UTC]", false), ("end", "timestamp[us, UTC]", false), ("open", "double", false), ("high", "double", false),
        ("low", "double", false), ("close", "double", false), ("volume", "double", true), ("trades", "int64", true),
    ]

    /// Writes a series; `metadata` goes into the schema beside the numbers of decimals.
    public static func encode(_ series: BarSeries, metadata: [(name: String, value: String)] = []) -> [UInt8] {
        var all = metadata
        let priceScales = [series.open, series.high, series.low, series.close].map(\.scale)
        if !priceScales.contains(nil), let scale = priceScales.compactMap({ $0 }).max() { all.append(("price_decimals", String(scale))) }
        if let scale = series.volume?.scale { all.append(("volume_decimals", String(scale))) }
        var stream: [UInt8] = []
        stream.reserveCapacity(series.count * 66 + 4_096)
        append(schema(all), to: &stream)
        appendBatch(series, to: &stream)
        // The end: a message of no length.
        stream.append(contentsOf: [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])
        return stream
    }

    // MARK: Messages

    /// A message's metadata behind its mark and length, padded so that what follows lies at a multiple of 8.
    private static func append(_ metadata: [UInt8], to stream: inout [UInt8]) {
        let padded = (metadata.count + 7) / 8 * 8
        LittleEndian.append(0xFFFF_FFFF, width: 4, to: &stream)
        LittleEndian.append(UInt64(padded), width: 4, to: &stream)
        stream.append(contentsOf: metadata)
        stream.append(contentsOf: [UInt8](repeating: 0, count: padded - metadata.count))
    }

    /// `Message`: version (V5), kind of header, header, length of the body.
    private static func message(_ tables: inout FlatTables, kind: UInt8, bodyLength: Int) -> Int {
        let message = tables.table(from: 0, [.short(4), .byte(kind), .reference, .long(Int64(bodyLength))])
        return message.fields[2]
    }

    private static func schema(_ metadata: [(name: String, value: String)]) -> [UInt8] {
        var tables = FlatTables()
        let header = message(&tables, kind: 1, bodyLength: 0)
        // `Schema`: endianness (little), fields, metadata.
        let schema = tables.table(from: header, [.short(0), .reference, .reference])
        for (place, column) in zip(tables.references(from: schema.fields[1], count: columns.count), columns) {
            // `Field`: name, nullable, kind of type, type, dictionary, children.
            let kind: UInt8 = column.type == "int64" ? 2 : column.type == "double" ? 3 : 10
            let field = tables.table(
                from: place,
                [.reference, .byte(column.isNullable ? 1 : 0), .byte(kind), .reference, .absent, .reference]
            )
            tables.text(from: field.fields[0], column.name)
            switch kind {
            case 2: _ = tables.table(from: field.fields[3], [.int(64), .byte(1)])
            case 3: _ = tables.table(from: field.fields[3], [.short(2)])
            default:
                let type = tables.table(from: field.fields[3], [.short(2), .reference])
                tables.text(from: type.fields[1], "UTC")
            }
            _ = tables.references(from: field.fields[5], count: 0)
        }
        for (place, entry) in zip(tables.references(from: schema.fields[2], count: metadata.count), metadata) {
            let pair = tables.table(from: place, [.reference, .reference])
            tables.text(from: pair.fields[0], entry.name)
            tables.text(from: pair.fields[1], entry.value)
        }
        return tables.bytes
    }

    // MARK: The batch

    private static func appendBatch(_ series: BarSeries, to stream: inout [UInt8]) {
        let count = series.count
        let volume = series.volume?.doubles() ?? [Double](repeating: .nan, count: count)
        let trades = series.trades ?? [Int64](repeating: -1, count: count)
        let knownVolumes = volume.map { !$0.isNaN }
        let knownTrades = trades.map { $0 >= 0 }
        var nodes = [(Int64, Int64)](repeating: (Int64(count), 0), count: 6)
        for known in [knownVolumes, knownTrades] { nodes.append((Int64(count), Int64(known.count { !$0 }))) }
        // Where each buffer lies in the body: which rows are known (nothing where all are), and the values.
        var buffers: [(Int64, Int64)] = []
        var length = 0
        for node in nodes {
            for size in [node.1 == 0 ? 0 : (count + 7) / 8, count * 8] {
                buffers.append((Int64(length), Int64(size)))
                length += padded(size)
            }
        }
        var tables = FlatTables()
        let header = message(&tables, kind: 3, bodyLength: length)
        // `RecordBatch`: rows, nodes, buffers.
        let batch = tables.table(from: header, [.long(Int64(count)), .reference, .reference])
        tables.pairs(from: batch.fields[1], nodes)
        tables.pairs(from: batch.fields[2], buffers)
        append(tables.bytes, to: &stream)

        append(values: series.starts, to: &stream)
        append(values: series.ends, to: &stream)
        for column in [series.open, series.high, series.low, series.close] { append(values: column.doubles(), to: &stream) }
        if nodes[6].1 > 0 { append(bits: knownVolumes, to: &stream) }
        append(values: volume, to: &stream)
        if nodes[7].1 > 0 { append(bits: knownTrades, to: &stream) }
        append(values: trades, to: &stream)
    }

    /// Columns begin at multiples of 64 bytes of the body, as vector instructions like it.
    private static func padded(_ size: Int) -> Int { (size + 63) / 64 * 64 }

    private static func append<Value>(values: [Value], to stream: inout [UInt8]) {
        // Int64 and Float64 on the little-endian machines that we run on are already the wire form.
        values.withUnsafeBytes { stream.append(contentsOf: $0) }
        pad(values.count * 8, &stream)
    }

    private static func append(bits: [Bool], to stream: inout [UInt8]) {
        var bytes = [UInt8](repeating: 0, count: (bits.count + 7) / 8)
        for (row, bit) in bits.enumerated() where bit { bytes[row / 8] |= 1 << UInt8(row % 8) }
        stream.append(contentsOf: bytes)
        pad(bytes.count, &stream)
    }

    private static func pad(_ size: Int, _ stream: inout [UInt8]) {
        stream.append(contentsOf: [UInt8](repeating: 0, count: padded(size) - size))
    }
}
