import Bars
import Testing

@Suite struct DecimalNumberTests {
    @Test(arguments: [
        ("1.38710", "1.3871"), ("100", "100"), ("-0.05", "-0.05"), ("1e-05", "0.00001"), ("2.5E3", "2500"), (".5", "0.5"), ("0.00", "0"),
        ("9223372036854775799", "9223372036854775799"), ("24.426957669999997", "24.426957669999997"),
        ("0.000000000000000001", "0.000000000000000001"),
    ])
    func readsExactly(text: String, expected: String) throws {
        let number = try #require(DecimalNumber(text))
        #expect(number.text == expected)
        guard case .exact = number else {
            Issue.record("\(text) should be exact")
            return
        }
    }

    @Test(arguments: ["", " ", "abc", "1.2.3", "NaN", "inf", "1e", "1e+", "0x10", "1,5", "--1", "1e9999", "5e400", "1 "])
    func refusesWhatIsNoNumber(text: String) { #expect(DecimalNumber(text) == nil) }

    @Test func tooManyDigitsBecomeTheNearestFloat() {
        #expect(DecimalNumber("12345678901234567890.5") == .float(12_345_678_901_234_567_890.5))
        #expect(DecimalNumber("10.344205490000018")?.double == 10.344205490000018)
        #expect(DecimalNumber("0.24126704999999998")?.double == 0.24126704999999998)
    }
}

@Suite struct ScaledColumnTests {
    private func column(_ texts: [String?]) -> ScaledColumn {
        var builder = ScaledColumnBuilder()
        for text in texts { builder.append(text.flatMap { DecimalNumber($0) }) }
        return builder.finish()
    }

    @Test func everyNumberComesBackAsItWas() {
        let texts = ["616.53", "0.00000001", "12345.6789", nil, "-3"]
        let made = column(texts)
        #expect(made.scale == 8)
        for index in 0..<texts.count { #expect(made.text(at: index) == texts[index]) }
        #expect(made.double(at: 3).isNaN)
        #expect(made.double(at: 0) == 616.53)
    }

    @Test func numbersThatDoNotFitOneScaleAreFloats() {
        let made = column(["92233720368547758", "0.0000000001", nil])
        #expect(made.scale == nil)
        #expect(made.text(at: 1) == "0.0000000001")
        #expect(made.text(at: 2) == nil)
    }

    @Test func concatenationKeepsTheFinestScale() {
        let joined = ScaledColumn.concatenate([column(["1.5"]), column(["2.125", nil]), column([])])
        #expect(joined.scale == 3)
        #expect(joined.text(at: 0) == "1.5")
        #expect(joined == column(["1.500", "2.125", nil]))
        #expect(joined != column(["1.500", "2.126", nil]))
        #expect(joined != column(["1.500", "2.125", "0"]))
    }
}
