import Bars
import Contracts

extension JSONValue {
    /// The number as its text has it, in quotes or without: never by way of a Float64 that could not hold it.
    var exactNumber: DecimalNumber? {
        switch self {
        case .string(let text): DecimalNumber(text)
        case .integer(let value): .exact(mantissa: value, scale: 0)
        case .number(let number): DecimalNumber(number.text)
        default: nil
        }
    }

    /// The elements of a list.
    var elements: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }

    /// A moment in milliseconds since 1970.
    var milliseconds: Timestamp? {
        guard let value = integer, (0...253_402_300_799_999).contains(value) else { return nil }
        return Timestamp(microseconds: value * 1_000)
    }

    /// A moment as RFC 3339 text.
    var moment: Timestamp? { string.flatMap { Timestamp(iso8601: $0) } }
}

/// Bytes of an answer as JSON; anything else makes the answer a broken one.
func parseAnswer(_ bytes: [UInt8]) throws(SourceError) -> JSONValue {
    do { return try WireJSON.parse(bytes) } catch { throw .broken("it is not JSON: \(error)") }
}
