public import Contracts

extension DecimalText: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `numeric`
    public static var postgresType: PostgresType { .numeric }

    /// Groups of four decimal digits, as the server stores them: exact.
    public func encode(into buffer: inout PostgresBuffer) { NumericDigits(text: text).encode(into: &buffer) }

    /// `numeric`, or text that is a decimal.
    public init(postgres value: PostgresValue) throws(PostgresError) {
        let text: String =
            switch value.type {
            case .numeric: try NumericDigits(postgres: value).text
            default: try String(postgres: value)
            }
        guard let decimal = DecimalText(text) else { throw value.mismatch(DecimalText.self) }
        self = decimal
    }
}

/// A `numeric` as it travels: sign, digits in groups of four, weight of the first group, digits after the point.
struct NumericDigits: Equatable {
    var isNegative = false
    var groups: [Int16] = []
    var weight = 0
    var scale = 0

    /// From decimal text without an exponent.
    init(text: String) {
        var digits = Array(text.utf8)
        if digits.first == UInt8(ascii: "-") {
            isNegative = true
            digits.removeFirst()
        }
        let point = digits.firstIndex(of: UInt8(ascii: ".")) ?? digits.count
        var whole = digits[..<point].map { Int16($0 - 0x30) }
        var fraction = digits[min(point + 1, digits.count)...].map { Int16($0 - 0x30) }
        scale = fraction.count
        while whole.count % 4 != 0 { whole.insert(0, at: 0) }
        while fraction.count % 4 != 0 { fraction.append(0) }
        let all = whole + fraction
        weight = whole.count / 4 - 1
        for start in stride(from: 0, to: all.count, by: 4) {
            groups.append(all[start] * 1000 + all[start + 1] * 100 + all[start + 2] * 10 + all[start + 3])
        }
        while groups.first == 0 {
            groups.removeFirst()
            weight -= 1
        }
        while groups.last == 0 { groups.removeLast() }
        if groups.isEmpty {
            weight = 0
            isNegative = false
        }
    }

    init(postgres value: PostgresValue) throws(PostgresError) {
        let bytes = value.bytes
        func word(_ index: Int) -> UInt16 { UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)) }
        guard bytes.count >= 8, bytes.count == 8 + Int(word(0)) * 2 else { throw value.mismatch(NumericDigits.self) }
        weight = Int(Int16(bitPattern: word(1)))
        switch word(2) {
        case 0: isNegative = false
        case 0x4000: isNegative = true
        default: throw PostgresError(.decoding, message: "a numeric that is not a number")
        }
        scale = Int(word(3))
        groups = (0..<Int(word(0))).map { Int16(bitPattern: word(4 + $0)) }
    }

    func encode(into buffer: inout PostgresBuffer) {
        buffer.append(Int16(groups.count))
        buffer.append(Int16(weight))
        buffer.append(UInt16(isNegative ? 0x4000 : 0))
        buffer.append(Int16(scale))
        for group in groups { buffer.append(group) }
    }

    /// Decimal text with exactly `scale` digits after the point.
    var text: String {
        func group(_ position: Int) -> Int { position >= 0 && position < groups.count ? Int(groups[position]) : 0 }
        func padded(_ value: Int) -> String { String(String(value + 10_000).dropFirst()) }
        var whole = ""
        if weight >= 0 { for position in 0...weight { whole += padded(group(position)) } }
        let trimmed = whole.drop { $0 == "0" }
        var result = (isNegative ? "-" : "") + (trimmed.isEmpty ? "0" : String(trimmed))
        guard scale > 0 else { return result }
        var fraction = ""
        var position = weight + 1
        while fraction.utf8.count < scale {
            fraction += padded(group(position))
            position += 1
        }
        result += "." + fraction.prefix(scale)
        return result
    }
}
