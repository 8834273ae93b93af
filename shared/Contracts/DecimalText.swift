/// An exact decimal number held as its shortest text: no exponent, no plus sign, no needless zero. Prices and predicted values travel as this.
///
/// `616.530` and `616.53` are the same value and have the same text, so equality and hashing are those of the number. At most 80 characters.
public struct DecimalText: Sendable, Hashable {
    /// The canonical text, such as `-0.5`, `0` or `616.53`.
    public let text: String

    /// Reads `-?digits[.digits]`, without leading zeros, blanks or exponent; nil for anything else.
    public init?(_ text: String) {
        guard let canonical = DecimalText.canonical(Array(text.utf8)) else { return nil }
        self.text = canonical
    }

    /// `units × 10^-scale`, with a scale from 0 to 60.
    public init(units: Int64, scale: Int = 0) {
        precondition((0...60).contains(scale), "a scale counts decimals, 0 to 60")
        var digits = Array(String(units.magnitude).utf8)
        if scale > 0 {
            if digits.count <= scale { digits.insert(contentsOf: [UInt8](repeating: 48, count: scale + 1 - digits.count), at: 0) }
            digits.insert(UInt8(ascii: "."), at: digits.count - scale)
        }
        if units < 0 { digits.insert(UInt8(ascii: "-"), at: 0) }
        self.text = DecimalText.canonical(digits) ?? "0"
    }

    /// Zero.
    public static let zero = DecimalText(units: 0)

    /// The value as `units` of `10^-scale`; nil when it has more decimals than that or does not fit.
    public func units(scale: Int) -> Int64? {
        var value: Int64 = 0
        var decimals: Int?
        let negative = isNegative
        for byte in text.utf8 where byte != UInt8(ascii: "-") {
            if byte == UInt8(ascii: ".") {
                decimals = 0
                continue
            }
            guard let next = DecimalText.appending(Int64(byte - 48), to: value, negative: negative) else { return nil }
            value = next
            if let count = decimals { decimals = count + 1 }
        }
        var missing = scale - (decimals ?? 0)
        guard missing >= 0 else { return nil }
        while missing > 0, value != 0 {
            guard let next = DecimalText.appending(0, to: value, negative: negative) else { return nil }
            value = next
            missing -= 1
        }
        return value
    }

    /// The nearest floating-point number: for arithmetic that does not need to be exact.
    public var double: Double { Double(text) ?? .nan }

    /// The number of digits after the point.
    public var decimals: Int {
        guard let point = text.utf8.firstIndex(of: UInt8(ascii: ".")) else { return 0 }
        return text.utf8.distance(from: point, to: text.utf8.endIndex) - 1
    }

    /// Below zero.
    public var isNegative: Bool { text.utf8.first == UInt8(ascii: "-") }

    private static func appending(_ digit: Int64, to value: Int64, negative: Bool) -> Int64? {
        let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
        let (sum, overflow) = product.addingReportingOverflow(negative ? -digit : digit)
        return tooLarge || overflow ? nil : sum
    }

    private static func canonical(_ bytes: [UInt8]) -> String? {
        guard !bytes.isEmpty, bytes.count <= 80 else { return nil }
        var index = 0
        let negative = bytes[0] == UInt8(ascii: "-")
        if negative { index = 1 }
        let integerStart = index
        while index < bytes.count, bytes[index] >= 48, bytes[index] <= 57 { index += 1 }
        let integer = bytes[integerStart..<index]
        guard !integer.isEmpty, integer.count == 1 || integer.first != 48 else { return nil }
        var fraction: ArraySlice<UInt8> = []
        if index < bytes.count {
            guard bytes[index] == UInt8(ascii: ".") else { return nil }
            fraction = bytes[(index + 1)...]
            guard !fraction.isEmpty, fraction.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
            while fraction.last == 48 { fraction.removeLast() }
        }
        let isZero = fraction.isEmpty && integer.elementsEqual([48])
        var text: [UInt8] = negative && !isZero ? [UInt8(ascii: "-")] : []
        text += integer
        if !fraction.isEmpty { text += [UInt8(ascii: ".")] + fraction }
        return String(decoding: text, as: UTF8.self)
    }
}

extension DecimalText: Comparable {
    /// Orders by value, digit by digit.
    public static func < (left: DecimalText, right: DecimalText) -> Bool {
        if left.isNegative != right.isNegative { return left.isNegative }
        return left.isNegative ? magnitude(right, isBelow: left) : magnitude(left, isBelow: right)
    }

    private static func magnitude(_ left: DecimalText, isBelow right: DecimalText) -> Bool {
        func split(_ value: DecimalText) -> (integer: Substring.UTF8View, fraction: Substring.UTF8View) {
            let digits = value.isNegative ? value.text.dropFirst() : value.text[...]
            guard let point = digits.utf8.firstIndex(of: UInt8(ascii: ".")) else { return (digits.utf8, Substring().utf8) }
            return (digits.utf8[..<point], digits.utf8[digits.utf8.index(after: point)...])
        }
        let (left, right) = (split(left), split(right))
        if left.integer.count != right.integer.count { return left.integer.count < right.integer.count }
        if !left.integer.elementsEqual(right.integer) { return left.integer.lexicographicallyPrecedes(right.integer) }
        return left.fraction.lexicographicallyPrecedes(right.fraction)
    }
}

extension DecimalText: LosslessStringConvertible, Codable {
    /// The canonical text.
    public var description: String { text }

    /// Reads a JSON string; other text is a `DecodingError.dataCorrupted`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let value = DecimalText(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "expected a decimal number as text, such as \"616.53\"")
        }
        self = value
    }

    /// Writes a JSON string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
