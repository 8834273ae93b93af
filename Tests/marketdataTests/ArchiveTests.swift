import FoundationEssentials
import Testing

@testable import marketdata

/// How many files an archive may hold: one limit for those of which one is meant, another for tables in parts.
@Suite struct ArchiveTests {
    /// A zip's beginning and its directory; its files have no content.
    private func zip(_ names: [String]) -> [UInt8] {
        func little(_ value: Int, _ width: Int) -> [UInt8] { (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        var bytes: [UInt8] = [0x50, 0x4B, 0x03, 0x04] + [UInt8](repeating: 0, count: 26)
        let begin = bytes.count
        for name in names {
            bytes += [0x50, 0x4B, 0x01, 0x02] + [UInt8](repeating: 0, count: 24) + little(name.utf8.count, 2) + [UInt8](repeating: 0, count: 16)
            bytes += Array(name.utf8)
        }
        let length = bytes.count - begin
        bytes +=
            [0x50, 0x4B, 0x05, 0x06, 0, 0, 0, 0] + little(names.count, 2) + little(names.count, 2) + little(length, 4) + little(begin, 4) + [0, 0]
        return bytes
    }

    private func parts(_ count: Int) -> [UInt8] { zip((0..<count).map { "AAPL/part.\($0).parquet" }) }

    @Test func aTableInAsManyPartsAsItsReaderTakesIsKnown() {
        #expect(ForeignFormat(parts(1)) == .archive)
        #expect(ForeignFormat(parts(1_001)) == .archive)
        #expect(ForeignFormat(parts(Archive.maximumParts)) == .archive)
        #expect(ForeignFormat(parts(Archive.maximumParts + 1)) == nil)
    }

    @Test func thePartsAreThoseThatTheReaderTakes() throws {
        var root = URL(filePath: #filePath)
        for _ in 0..<3 { root = root.deletingLastPathComponent() }
        let reader = try String(decoding: Data(contentsOf: root.appending(path: "sdk/python/auspex/_table_conversion.py")), as: UTF8.self)
        let line = try #require(reader.split(separator: "\n").first { $0.hasPrefix("MOST_ENTRIES = ") })
        #expect(Int(line.dropFirst("MOST_ENTRIES = ".count).filter { $0 != "_" }) == Archive.maximumParts)
    }

    @Test func ofTooManyFilesNoneIsMeant() {
        let names = (0...Archive.maximumFiles).map { "\($0).csv" }
        #expect(throws: ImportError.badArchive("it holds 1001 files, but may hold 1000")) { try Archive.open(zip(names), fileName: "x.zip") }
    }
}
