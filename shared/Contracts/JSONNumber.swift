/// A JSON number as it was written, so that nothing is rounded on the way through.
public struct JSONNumber: Sendable, Hashable {
    /// Valid JSON number text, such as `616.50` or `1e-9`.
    public let text: String

    /// Takes text that follows JSON's number grammar; nil for anything else.
    public init?(_ text: String) {
        var parser = JSONParser(Array(text.utf8))
        guard (try? parser.numberText()) == text else { return nil }
        self.text = text
    }

    /// The shortest text that reads back as the same double; nil for NaN and infinities, which JSON cannot say.
    public init?(_ value: Double) {
        guard value.isFinite else { return nil }
        self.text = value.description
    }

    init(validated text: String) {
        self.text = text
    }

    /// The nearest double; infinite beyond the range of doubles.
    public var double: Double { Double(text) ?? .nan }

    /// The exact decimal; nil when it needs more than 80 characters without exponent.
    public var decimal: DecimalText? {
        let parts = text.split(whereSeparator: { $0 == "e" || $0 == "E" })
        guard parts.count == 2 else { return DecimalText(text) }
        guard let exponent = Int(parts[1].hasPrefix("+") ? parts[1].dropFirst() : parts[1]), abs(exponent) <= 80 else { return nil }
        let negative = parts[0].hasPrefix("-")
        let mantissa = negative ? parts[0].dropFirst() : parts[0]
        let point = mantissa.firstIndex(of: ".")
        var digits = mantissa.filter { $0 != "." }
        var integerCount = (point.map { mantissa.distance(from: mantissa.startIndex, to: $0) } ?? mantissa.count) + exponent
        if integerCount <= 0 {
            digits = String(repeating: "0", count: 1 - integerCount) + digits
            integerCount = 1
        }
        if digits.count < integerCount { digits += String(repeating: "0", count: integerCount - digits.count) }
        var integer = digits.prefix(integerCount).drop(while: { $0 == "0" })
        if integer.isEmpty { integer = "0" }
        let fraction = digits.dropFirst(integerCount)
        return DecimalText((negative ? "-" : "") + integer + (fraction.isEmpty ? "" : "." + fraction))
    }
}
