import Bars
import TestSupport
import Testing

@testable import marketdata

/// Long files are read straight into columns; row by row, with a name for each fault, is the reference.
@Suite("Plain files of bars") struct PlainBarTextTests {
    private func read(_ text: String, symbolColumn: Bool = false) throws -> ImportedFile {
        try FileImporter.read(Array(text.utf8), path: "plain.csv", options: ImportOptions(symbol: "PLAIN", timeZone: "UTC", assetClass: .crypto))
    }

    /// The same file in a form that only the reader of rows takes: a quoted header changes nothing, an exponent in one number does.
    private func readByRows(_ lines: [String]) throws -> ImportedFile {
        var lines = lines
        let fields = lines[1].split(separator: ",", omittingEmptySubsequences: false)
        lines[1] = ([fields[0], "\(fields[1])e0"] + fields.dropFirst(2)).joined(separator: ",")
        return try read(lines.joined(separator: "\n"))
    }

    @Test(
        "Both readers give the same columns",
        arguments: [
            ["2024-01-02 14:30:00,100.01,100.5,99,100.010,84", "2024-01-02 14:30:01,100.1,100.25,100,100.2,7"],
            ["2024-01-02 23:59:59,1,2,1,2,0", "2024-01-03 00:00:00,2,2,1.5,1.5,0.00000001", "2024-01-03 00:00:01,1.5,3,1,3,5000000000"],
            ["1704205800,-3,5,-4,-2.5,1", "1704205860,-2.5,4000000000,-2.5,3999999999.5,1"],
            ["2024-01-02T14:31:00,0.00012,0.00013,0.0001,0.00011,10", "2024-01-02T14:30:00,0.00011,0.00012,0.0001,0.00012,20"],
            ["2024-01-02,5,6,4,5,100", "2024-01-03,5,6,4,5,200", "2024-01-04,5,6,4,5,300"],
            ["2024-01-02 14:30:00,922337203685477580,922337203685477580,1,1,1", "2024-01-02 14:31:00,1,1,1,1,1"],
        ]
    )
    func sameColumns(rows: [String]) throws {
        let lines = ["time,open,high,low,close,volume"] + rows
        for ending in ["\n", "\r\n"] {
            for end in ["", ending] {
                let text = lines.joined(separator: ending) + end
                let bytes = Array(text.utf8)
                let fields = PlainBarText.Fields(separator: 0x2C, count: 6, time: 0, prices: [1, 2, 3, 4], volume: 5)
                let offset = lines[0].utf8.count + ending.utf8.count
                #expect(PlainBarText(bytes, from: offset, fields: fields)?.stamps.count == rows.count)
                let plain = try read(text)
                let reference = try readByRows(lines)
                #expect(plain.series.map(\.bars) == reference.series.map(\.bars))
                #expect(plain.series[0].bars.open.scale == reference.series[0].bars.open.scale)
                #expect(plain.series[0].intervalSeconds == reference.series[0].intervalSeconds)
                #expect(plain.problems == reference.problems && plain.rows == reference.rows)
            }
        }
    }

    @Test(
        "What is not plain is left to the reader of rows, which names the line",
        arguments: [
            ("2024-01-02 14:30:02,1,2,1,x,1", "close"), ("2024-01-02 14:30:02,1,2,1,,1", "close"), ("2024-01-02 14:30:02,1,2,1,1", "row"),
            ("2024-01-02 14:30:02,1,2,1,1,1,9", "row"), ("2024-01-02 14:30:02,3,2,1,1,1", "high"), ("2024-01-02 14:30:02,1,2,1.5,1.7,1", "low"),
            ("2024-01-02 14:30:02,1,2,1,1,-1", "volume"), ("2024-13-02 14:30:02,1,2,1,1,1", "time"), ("2024-01-02 14:30:62,1,2,1,1,1", "time"),
            ("2024-01-02 14:30:02,1,2,1,1,1 ", "volume"), ("2024-01-02 14:30:01,1,2,1,1,1", "time"), ("2024-01-02 14:30:02,1.2.3,2,1,1,1", "open"),
        ]
    )
    func faultsAreNamed(line: String, column: String) throws {
        let text =
            "time,open,high,low,close,volume\n2024-01-01 14:30:00,1,1,1,1,1\n2024-01-02 14:30:00,1,1,1,1,1\n2024-01-02 14:30:01,1,1,1,1,1\n\(line)\n"
        let file = try FileImporter.read(
            Array(text.utf8),
            path: "plain.csv",
            options: ImportOptions(symbol: "PLAIN", timeZone: "UTC", assetClass: .crypto, interval: .seconds(1))
        )
        #expect(file.problems.kept.map(\.line) == [5])
        #expect(file.problems.kept.map(\.column) == [column])
    }
}
