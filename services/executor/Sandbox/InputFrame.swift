internal import CSandbox
import Contracts
import Glibc
import ServiceRuntime

/// One series of bars for a run, as the manifest asks for it.
struct InputSeries: Sendable {
    /// The instrument's symbol.
    var instrument: String
    /// The interval as the manifest writes it.
    var interval: String
    /// The bars as market data sent them.
    var bars: BarsBody
}

/// The input of one run as a sealed file in memory, which nobody can change: up to 64 KiB it is sent in a message, up to 128 KiB the sandbox reads it, what is
/// larger it maps, and nothing is copied.
///
/// The layout is that of the SDK's `_frame.py`: magic, header length, JSON header with the columns' offsets, then each series as it came
/// from market data. A volume that nobody knows is a column of NaN after them.
final class InputFrame: Sendable {
    /// The memory file, closed with the frame.
    let descriptor: Int32
    /// The frame's length.
    let bytes: Int

    private static let magic: [UInt8] = Array("AUSPEXI1".utf8)
    private static let columns = ["time", "open", "high", "low", "close", "volume"]
    private static let alignment = 64

    /// Lays the series out behind the header's members and seals the result.
    init(header: [String: JSONValue], series: [InputSeries]) throws(SandboxError) {
        var base = Self.alignment
        var text: [UInt8] = []
        // The header holds the offsets, whose digits move them: begin close and give it the room that it turns out to need.
        while true {
            text = WireJSON.encode(.object(header.merging(["inputs": Self.describe(series, base: base)]) { $1 }))
            let needed = Self.aligned(16 + text.count)
            if needed <= base { break }
            base = needed
        }
        let sizes = series.map { Self.size($0.bars) }
        let total = sizes.reduce(base, +)
        descriptor = auspex_memory_file("auspex-input")
        bytes = total
        guard descriptor >= 0 else { throw .system(call: "memfd_create", code: errno) }
        guard ftruncate(descriptor, total) == 0 else { throw .system(call: "ftruncate", code: errno) }
        try write(Self.magic + withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text, at: 0)
        var offset = base
        for (item, size) in zip(series, sizes) {
            try write(item.bars.bytes, at: offset)
            if item.bars.offset(of: "volume") == nil {
                let unknown = [Double](repeating: .nan, count: item.bars.count)
                try write(unknown.withUnsafeBytes { Array($0) }, at: offset + Self.aligned(item.bars.bytes.count))
            }
            offset += size
        }
        try seal()
    }

    /// From so many bytes on a frame is made on the pool: copying takes a millisecond for each few megabytes, which a loop has not got.
    private static let smallBytes = 256 << 10

    /// Makes a frame of so many bytes of bars where that is in nobody's way.
    static func make(of bytes: Int, on cpu: CPUPool, _ body: @escaping @Sendable () throws -> InputFrame) async throws -> InputFrame {
        bytes <= smallBytes ? try body() : try await cpu.run(body)
    }

    /// A file of so many bytes, to be written piece by piece and then sealed: a program's input as it is, without header.
    init(bytes: Int) throws(SandboxError) {
        descriptor = auspex_memory_file("auspex-input")
        self.bytes = bytes
        guard descriptor >= 0 else { throw .system(call: "memfd_create", code: errno) }
        guard ftruncate(descriptor, bytes) == 0 else { throw .system(call: "ftruncate", code: errno) }
    }

    /// Lets nobody change it any more.
    func seal() throws(SandboxError) {
        guard auspex_seal(descriptor) == 0 else { throw .system(call: "seal", code: errno) }
    }

    /// Up to so many bytes a frame is said and not handed over: to take a descriptor costs a plain run more than to copy them.
    private static let longestMessage = 64 << 10

    /// The frame as what a message of a channel can hold; nil when it is too large for that.
    var messageBytes: [UInt8]? {
        guard bytes > 0, bytes <= Self.longestMessage else { return nil }
        let content = [UInt8](unsafeUninitializedCapacity: bytes) { buffer, count in
            count = max(0, pread(descriptor, buffer.baseAddress, bytes, 0))
        }
        return content.count == bytes ? content : nil
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static func describe(_ series: [InputSeries], base: Int) -> JSONValue {
        var start = base
        var described: [JSONValue] = []
        for item in series {
            var offsets: [String: JSONValue] = [:]
            for name in columns {
                offsets[name] = .integer(Int64(start + (item.bars.offset(of: name) ?? aligned(item.bars.bytes.count))))
            }
            described.append(
                .object([
                    "instrument": .string(item.instrument), "interval": .string(item.interval), "rows": .integer(Int64(item.bars.count)),
                    "columns": .object(offsets),
                ])
            )
            start += size(item.bars)
        }
        return .array(described)
    }

    private static func size(_ bars: BarsBody) -> Int {
        aligned(bars.bytes.count) + (bars.offset(of: "volume") == nil ? aligned(8 * bars.count) : 0)
    }

    private static func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

    /// Writes a piece of it.
    func write(_ bytes: [UInt8], at offset: Int) throws(SandboxError) {
        var done = 0
        while done < bytes.count {
            let written = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress! + done, $0.count - done, offset + done) }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw .system(call: "pwrite", code: errno) }
            done += written
        }
    }
}
