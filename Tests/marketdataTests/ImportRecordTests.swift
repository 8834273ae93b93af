import Bars
import Contracts
import Cryptography
import FoundationEssentials
import TestSupport
import Testing

@testable import marketdata

/// Every real file imports as it did when `Golden/imports.tsv` was written: one line a file, with a hash over all of its bars.
@Suite(.enabled(if: SharedData.isPresent, "no ../shared/data beside the project")) struct ImportRecordTests {
    private static let record = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/imports.tsv").path()

    @Test func everyRealFileImportsAsItDid() throws {
        let root = try #require(SharedData.root) + "/data"
        var lines: [String] = []
        for path in Files.list(root) {
            guard !path.hasSuffix("market-hours-database.json"), let bytes = Files.read(path) else { continue }
            let name = String(path.dropFirst(root.count + 1))
            lines.append("\(name)\t\(Self.line(bytes, path: name))")
        }
        if ProcessInfo.processInfo.environment["AUSPEX_WRITE_RECORD"] != nil {
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: Self.record))
        }
        let known = String(decoding: try #require(Files.read(Self.record)), as: UTF8.self).split(separator: "\n").map(String.init)
        #expect(lines.count > 150)
        for (now, before) in zip(lines, known) { #expect(now == before) }
        #expect(lines.count == known.count)
    }

    private static func line(_ bytes: [UInt8], path: String) -> String {
        do {
            let file = try FileImporter.read(bytes, path: path)
            var text: [UInt8] = []
            for series in file.series {
                text += Array("\(series.intervalSeconds) \(series.side.rawValue) \(series.origin.rawValue) \(series.coverage)\n".utf8)
                ColumnarJSON.append(series.bars, to: &text)
            }
            let bars = file.series.map { "\($0.bars.count)" }.joined(separator: "+")
            let words = [
                file.layout.rawValue, file.symbol, file.calendar.name, "\(file.rows)", bars, "\(file.problems.total)", SHA256.digest(text).hex,
            ]
            return words.joined(separator: "\t")
        } catch {
            return "refused\t\(error.code)"
        }
    }
}
