import Bars
import Testing

@Suite struct WireTests {
    private func number<Value>(_ bytes: [UInt8], _ at: Int, as: Value.Type) -> Value {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: Value.self) }
    }

    @Test func theBinaryFormIsWhatTheReadMeSays() throws {
        let bars = try makeBars([0, second, 5 * second], length: second, volumes: ["0.5", nil, "2"])
        let bytes = BinaryBars.encode(bars, intervalSeconds: 1, flags: .partialLast, dataDigest: [UInt8](repeating: 7, count: 32))
        #expect(bytes.count == 64 + 7 * 3 * 8)
        #expect(Array(bytes[0..<4]) == Array("AUSB".utf8))
        #expect(number(bytes, 4, as: UInt16.self) == 1)
        #expect(number(bytes, 6, as: UInt16.self) == 5)
        #expect(number(bytes, 8, as: UInt64.self) == 3)
        #expect(number(bytes, 16, as: Int32.self) == 1)
        #expect(number(bytes, 20, as: Int32.self) == 1)
        #expect(number(bytes, 24, as: UInt32.self) == 1)
        #expect(number(bytes, 28, as: UInt32.self) == 64)
        #expect(bytes[32] == 7 && bytes[63] == 7)
        #expect(number(bytes, 64 + 16, as: Int64.self) == 5 * second)
        #expect(number(bytes, 64 + 24 + 16, as: Int64.self) == 6 * second)
        #expect(number(bytes, 64 + 48, as: Double.self) == 100)
        #expect(number(bytes, 64 + 24 * 5, as: Double.self) == 100.1)
        #expect(number(bytes, 64 + 24 * 6 + 8, as: Double.self).isNaN)
    }

    @Test func jsonColumnsAreExactText() throws {
        let bars = try makeBars([1_475_928_060_000_000, 1_475_928_061_500_000], length: second, volumes: ["0.00000001", nil])
        var bytes: [UInt8] = []
        ColumnarJSON.append(bars, to: &bytes)
        let text = String(decoding: bytes, as: UTF8.self)
        let expected =
            #"{"start":["2016-10-08T12:01:00.000000Z","2016-10-08T12:01:01.500000Z"],"end":["2016-10-08T12:01:01.000000Z","2016-10-08T12:01:02.500000Z"],"#
            + #""open":["100","100.1"],"high":["100.5","100.6"],"low":["99.5","99.6"],"close":["100.1","100.2"],"volume":["0.00000001",null]}"#
        #expect(text == expected)
    }

    @Test(arguments: [("15s", 15), ("1m", 60), ("4h", 14_400), ("1d", 86_400), ("1w", 604_800), ("1M", 2_592_000), ("90", 90), ("24h", 86_400)])
    func intervalsReadAsPeopleWriteThem(text: String, seconds: Int) throws {
        let interval = try BarInterval(text: text)
        #expect(interval.seconds == seconds)
        #expect(BarInterval(seconds: seconds).seconds == seconds)
    }

    @Test(arguments: ["", "0s", "-1m", "1y", "m", "1.5m", "99999999999d", "400d", "1 m"])
    func badIntervalsAreRefused(text: String) { #expect(throws: BarsError.badInterval(text)) { try BarInterval(text: text) } }

    @Test func onlyWhatFitsIsBuiltOfStoredBars() throws {
        #expect(try BarInterval(text: "15m").isMultiple(ofSeconds: 60))
        #expect(try !BarInterval(text: "90s").isMultiple(ofSeconds: 60))
        #expect(try BarInterval(text: "1d").isMultiple(ofSeconds: 86_400))
        #expect(try !BarInterval(text: "7d").isMultiple(ofSeconds: 604_800))
        #expect(try !BarInterval(text: "30d").isMultiple(ofSeconds: 2_592_000))
        #expect(try BarInterval(text: "2w").isMultiple(ofSeconds: 604_800))
        #expect(try BarInterval(text: "3M").isMultiple(ofSeconds: 2_592_000))
        #expect(try !BarInterval(text: "1M").isMultiple(ofSeconds: 604_800))
    }
}
