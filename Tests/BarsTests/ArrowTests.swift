import Bars
import Foundation
import Testing

/// The Python with pyarrow that `AUSPEX_PYARROW_PYTHON` names; `./auspex test` makes one.
private enum PyArrow {
    static let python = ProcessInfo.processInfo.environment["AUSPEX_PYARROW_PYTHON"]

    /// Waits on a thread of its own: one of the few that all tests share would keep others from going on.
    static func run(_ program: String, _ arguments: [String]) async throws -> (status: Int32, output: String) {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try runHere(program, arguments) }) }
        }
    }

    private static func runHere(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}

@Suite struct ArrowTests {
    private func series(_ name: String) throws -> BarSeries {
        let starts = (0..<100).map { 1_475_928_060_000_000 + Int64($0) * second }
        switch name {
        case "none": return .empty
        case "plain": return try makeBars(starts, length: second)
        case "unknown": return try makeBars(starts, length: second, volumes: (0..<100).map { $0 % 3 == 0 ? nil : "0.0000000\($0 % 9 + 1)" })
        case "bare":
            let bars = try makeBars(starts, length: second)
            return try BarSeries(starts: bars.starts, ends: bars.ends, open: bars.open, high: bars.high, low: bars.low, close: bars.close)
        default:
            let bars = try makeBars(starts, length: second)
            return try BarSeries(
                starts: bars.starts,
                ends: bars.ends,
                open: bars.open,
                high: bars.high,
                low: bars.low,
                close: bars.close,
                volume: bars.volume,
                trades: (0..<100).map { $0 % 7 == 0 ? -1 : Int64($0) << 33 }
            )
        }
    }

    /// What pyarrow reads is what the JSON says, and its columns are the stream's own bytes.
    @Test(
        .enabled(if: PyArrow.python != nil, "AUSPEX_PYARROW_PYTHON names no Python with pyarrow"),
        arguments: ["none", "plain", "unknown", "bare", "counted"]
    )
    func pyarrowReadsWhatTheJSONSays(name: String) async throws {
        let python = try #require(PyArrow.python)
        let bars = try series(name)
        let folder = FileManager.default.temporaryDirectory.appending(path: "auspex-arrow-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(ArrowStream.encode(bars, metadata: [("interval", "1s"), ("note", "größer")])).write(to: folder.appending(path: "bars.arrow"))
        var json: [UInt8] = []
        ColumnarJSON.append(bars, to: &json)
        try Data(json).write(to: folder.appending(path: "bars.json"))
        let script = #"""
            import json, sys
            from datetime import datetime, timezone
            import pyarrow as pa
            folder = sys.argv[1]
            buffer = pa.py_buffer(open(folder + "/bars.arrow", "rb").read())
            table = pa.ipc.open_stream(buffer).read_all()
            table.validate(full=True)
            said = json.load(open(folder + "/bars.json"))
            names = ["start", "end", "open", "high", "low", "close", "volume", "trades"]
            stamp = pa.timestamp("us", tz="UTC")
            types = [stamp, stamp] + [pa.float64()] * 5 + [pa.int64()]
            assert table.schema.names == names and table.schema.types == types, table.schema
            assert [field.nullable for field in table.schema] == [False] * 6 + [True] * 2
            meta = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
            assert meta["interval"] == "1s" and meta["note"] == "größer" and int(meta["price_decimals"]) >= 0, meta
            count = len(said["start"])
            assert table.num_rows == count
            for name in names[:2]:
                assert table[name].to_pylist() == [datetime.fromisoformat(text.replace("Z", "+00:00")) for text in said[name]], name
            for name in names[2:6]:
                assert table[name].to_pylist() == [float(text) for text in said[name]], name
            assert table["volume"].to_pylist() == [None if text is None else float(text) for text in said.get("volume", [None] * count)]
            assert table["trades"].to_pylist() == said.get("trades", [None] * count)
            if count:
                data = table["close"].chunk(0).buffers()[1]
                assert buffer.address <= data.address and data.address + data.size <= buffer.address + buffer.size, "it was copied"
            print("equal")
            """#
        let (status, output) = try await PyArrow.run(python, ["-c", script, folder.path()])
        #expect(status == 0 && output == "equal\n", "\(output)")
    }

    /// The bytes that pyarrow read when this was written: a machine without it still sees when they change.
    @Test func theBytesAreThoseThatPyarrowRead() throws {
        let bytes = ArrowStream.encode(try series("unknown"), metadata: [("interval", "1s")])
        #expect(bytes.count % 8 == 0)
        #expect(Array(bytes.suffix(8)) == [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        #expect(String(hash, radix: 16) == "a2e496974c81d844")
    }

    @Test func csvIsExactAndEmptyWhereNothingIsKnown() throws {
        let bars = try makeBars([1_475_928_060_000_000, 1_475_928_061_500_000], length: second, volumes: ["0.00000001", nil])
        let expected = """
            start,end,open,high,low,close,volume,trades
            2016-10-08T12:01:00.000000Z,2016-10-08T12:01:01.000000Z,100,100.5,99.5,100.1,0.00000001,
            2016-10-08T12:01:01.500000Z,2016-10-08T12:01:02.500000Z,100.1,100.6,99.6,100.2,,

            """
        #expect(String(decoding: RowCSV.encode(bars), as: UTF8.self) == expected)
        #expect(String(decoding: RowCSV.encode(.empty), as: UTF8.self) == RowCSV.header + "\n")
    }
}
