/// An e-mail address in the one spelling by which accounts are found: trimmed and in lower case.
struct EmailAddress: Sendable, Hashable, CustomStringConvertible {
    static let maximumBytes = 254

    /// The normalised address.
    let text: String

    /// The address in a text; nil unless it is `name@domain` in printable ASCII without blanks.
    ///
    /// Whether mail arrives there is not asked: no rule on the text could tell.
    init?(_ input: String) {
        let bytes = input.utf8.drop { $0 == 0x20 }
        let trimmed = bytes.prefix(bytes.lastIndex { $0 != 0x20 }.map { bytes.distance(from: bytes.startIndex, to: $0) + 1 } ?? 0)
        guard trimmed.count <= Self.maximumBytes, trimmed.allSatisfy({ (0x21...0x7e).contains($0) && !Self.refused.contains($0) }) else { return nil }
        let parts = trimmed.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        guard parts.count == 2, (1...64).contains(parts[0].count), !parts[1].isEmpty else { return nil }
        let labels = parts[1].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.allSatisfy({ !$0.isEmpty && $0.count <= 63 && $0.first != UInt8(ascii: "-") && $0.last != UInt8(ascii: "-") }) else {
            return nil
        }
        guard parts[1].allSatisfy({ Self.isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }) else { return nil }
        text = String(decoding: trimmed, as: UTF8.self).lowercased()
    }

    /// An address that a store holds already.
    init(stored text: String) { self.text = text }

    var description: String { text }

    /// Characters that are allowed by the RFC but stand for injection far more often than for a mailbox.
    private static let refused = Set(#"()<>[]\,;:""#.utf8)

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }
}
