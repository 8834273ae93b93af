import Contracts

extension JSONValue {
    /// Whether the store can keep every number in it: JSON allows numbers that no column of JSON holds, such as `1e999999`.
    var hasStorableNumbers: Bool {
        switch self {
        case .null, .bool, .integer, .string: true
        case .number(let number): number.isStorable
        case .array(let elements): elements.allSatisfy(\.hasStorableNumbers)
        case .object(let members): members.values.allSatisfy(\.hasStorableNumbers)
        }
    }
}

extension JSONNumber {
    private static let maximumCharacters = 1_000

    /// Within the range of doubles, and not longer than anybody writes.
    fileprivate var isStorable: Bool {
        guard text.utf8.count <= Self.maximumCharacters, double.isFinite else { return false }
        // What is too small for a double reads as zero although it is none.
        return double != 0 || !text.utf8.prefix { $0 != UInt8(ascii: "e") && $0 != UInt8(ascii: "E") }.contains { (0x31...0x39).contains($0) }
    }
}
