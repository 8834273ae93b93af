import Contracts
import Testing

@Suite struct ExactNumberTests {
    @Test(arguments: [
        ("0", "0"), ("-0", "0"), ("-0.00", "0"), ("616.530", "616.53"), ("1.000", "1"), ("-0.5", "-0.5"), ("10", "10"), ("100.10", "100.1"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ])
    func oneTextPerNumber(text: String, canonical: String) {
        #expect(DecimalText(text)?.text == canonical)
    }

    @Test(arguments: ["", "-", ".", ".5", "5.", "+1", "01", "-01", "1e5", "1,5", " 1", "1 ", "NaN", "inf", "0x1", "--1", "1.2.3", "١"])
    func whatIsNoNumberIsRefused(text: String) {
        #expect(DecimalText(text) == nil)
    }

    @Test func lengthIsBounded() {
        #expect(DecimalText(String(repeating: "9", count: 80)) != nil)
        #expect(DecimalText(String(repeating: "9", count: 81)) == nil)
    }

    @Test func orderIsThatOfTheNumbers() throws {
        let texts = ["-100", "-20", "-3.5", "-3.25", "-0.1", "0", "0.05", "0.5", "0.51", "3", "3.0001", "20", "100"]
        let values = try texts.map { try #require(DecimalText($0)) }
        #expect(values.shuffled().sorted() == values)
        let prices = texts.compactMap(Price.init)
        #expect(prices.shuffled().sorted() == prices)
    }

    @Test(
        arguments: [
            (5, 0, "5"), (5, 1, "0.5"), (5, 3, "0.005"), (-12_345, 2, "-123.45"), (1_000, 3, "1"), (.min, 4, "-922337203685477.5808"), (0, 8, "0"),
        ] as [(Int64, Int, String)]
    )
    func scaledUnits(units: Int64, scale: Int, text: String) {
        #expect(DecimalText(units: units, scale: scale).text == text)
        #expect(DecimalText(text)?.units(scale: scale) == units)
    }

    @Test func unitsThatDoNotFitAreNil() {
        #expect(DecimalText("0.05")?.units(scale: 1) == nil)
        #expect(DecimalText("9223372036854775807")?.units(scale: 0) == .max)
        #expect(DecimalText("9223372036854775808")?.units(scale: 0) == nil)
        #expect(DecimalText("9223372036854775807")?.units(scale: 1) == nil)
        #expect(DecimalText("616.53")?.double == 616.53)
        #expect(DecimalText("616.53")?.decimals == 2)
    }

    @Test func moneyKeepsItsCurrency() throws {
        let euros = try #require(Money(minorUnits: 250, currency: "EUR"))
        #expect(euros.adding(euros)?.minorUnits == 500)
        #expect(euros.adding(try #require(Money(minorUnits: 1, currency: "USD"))) == nil)
        #expect(euros.adding(try #require(Money(minorUnits: .max, currency: "EUR"))) == nil)
        #expect(Money(minorUnits: 1, currency: "eur") == nil)
        #expect(try WireJSON.encode(euros) == Array(#"{"currency":"EUR","minor_units":250}"#.utf8))
        #expect(throws: DecodingError.self) { try WireJSON.decode(Money.self, from: ["minor_units": 1, "currency": "€"]) }
    }
}
