/// The spelling of symbols: 1 to 40 of A–Z, 0–9, dot, dash and underscore, beginning with a letter or digit; `@replay-<n>` marks a replay.
enum InstrumentSymbol {
    static func isValid(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard (1...40).contains(bytes.count), isLetterOrDigit(bytes[0]) else { return false }
        return bytes.allSatisfy { isLetterOrDigit($0) || $0 == 0x2E || $0 == 0x2D || $0 == 0x5F }
    }

    /// The symbol of a replay, which can never be taken for the instrument that it replays.
    static func replay(of symbol: String, number: Int) -> String { "\(symbol)@replay-\(number)" }

    /// Whether a text may be looked up: a symbol, or a replay's.
    static func canExist(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        if parts.count == 2 { return isValid(String(parts[0])) && parts[1].hasPrefix("replay-") && Int(parts[1].dropFirst(7)) != nil }
        return parts.count == 1 && isValid(text)
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool { (byte >= 0x41 && byte <= 0x5A) || (byte >= 0x30 && byte <= 0x39) }
}
