internal import CSandbox
import Contracts
import Glibc

/// One series of bars for the frame of a run: columns of equal length, missing values as NaN.
struct InputSeries: Sendable {
    /// The instrument's symbol.
    var instrument: String
    /// The interval as the manifest writes it.
    var interval: String
    /// Start of each bar in microseconds since 1970 UTC.
    var time: [Int64]
    /// First price.
    var open: [Double]
    /// Highest price.
    var high: [Double]
    /// Lowest price.
    var low: [Double]
    /// Last price.
    var close: [Double]
    /// Traded volume.
    var volume: [Double]
}

/// The input of one run as a sealed file in memory that the sandbox maps: nothing is copied inside, and nothing can be changed.
///
/// The layout is that of the SDK's `_frame.py`: magic, header length, JSON header with column offsets, columns at multiples of 64 bytes.
final class InputFrame: Sendable {
    /// The memory file, closed with the frame.
    let descriptor: Int32
    /// The frame's length.
    let bytes: Int

    private static let magic: [UInt8] = Array("AUSPEXI1".utf8)
    private static let alignment = 64

    /// Lays the series out behind the header's members and seals the result.
    init(header: [String: JSONValue], series: [InputSeries]) throws(SandboxError) {
        let columnBytes = series.map { Self.aligned($0.time.count * 8) }
        var base = Self.alignment
        var text: [UInt8] = []
        // The header holds the offsets, whose digits move them: begin close and give it the room that it turns out to need.
        while true {
            text = WireJSON.encode(.object(header.merging(["inputs": Self.describe(series, columnBytes, base: base)]) { $1 }))
            let needed = Self.aligned(16 + text.count)
            if needed <= base { break }
            base = needed
        }
        let total = zip(columnBytes, series).reduce(base) { $0 + $1.0 * 6 }
        descriptor = auspex_memory_file("auspex-input")
        bytes = total
        guard descriptor >= 0 else { throw .system(call: "memfd_create", code: errno) }
        guard ftruncate(descriptor, total) == 0 else { throw .system(call: "ftruncate", code: errno) }
        try write(Self.magic + Self.littleEndian(UInt64(text.count)) + text, at: 0)
        var offset = base
        for (item, size) in zip(series, columnBytes) {
            try write(column: item.time, at: offset)
            for (index, column) in [item.open, item.high, item.low, item.close, item.volume].enumerated() {
                try write(column: column, at: offset + size * (index + 1))
            }
            offset += size * 6
        }
        guard auspex_seal(descriptor) == 0 else { throw .system(call: "seal", code: errno) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static func describe(_ series: [InputSeries], _ sizes: [Int], base: Int) -> JSONValue {
        var offset = base
        var described: [JSONValue] = []
        for (item, size) in zip(series, sizes) {
            var columns: [String: JSONValue] = [:]
            for (index, name) in ["time", "open", "high", "low", "close", "volume"].enumerated() {
                columns[name] = .integer(Int64(offset + size * index))
            }
            described.append(
                .object([
                    "instrument": .string(item.instrument), "interval": .string(item.interval), "rows": .integer(Int64(item.time.count)),
                    "columns": .object(columns),
                ])
            )
            offset += size * 6
        }
        return .array(described)
    }

    private static func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

    private static func littleEndian(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

    private func write(_ bytes: [UInt8], at offset: Int) throws(SandboxError) {
        guard bytes.withUnsafeBytes({ Self.writeAll(descriptor, $0, offset) }) else { throw .system(call: "pwrite", code: errno) }
    }

    private func write<T: BitwiseCopyable>(column: [T], at offset: Int) throws(SandboxError) {
        guard column.withUnsafeBytes({ Self.writeAll(descriptor, $0, offset) }) else { throw .system(call: "pwrite", code: errno) }
    }

    private static func writeAll(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, _ offset: Int) -> Bool {
        var done = 0
        while done < buffer.count {
            let written = pwrite(descriptor, buffer.baseAddress! + done, buffer.count - done, offset + done)
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { return false }
            done += written
        }
        return true
    }
}
