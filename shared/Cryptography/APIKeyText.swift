public import Contracts

/// An API key as its owner holds it: `aus_`, 32 random base62 characters, 6 checksum characters.
///
/// The checksum lets a service (and a secret scanner) tell a mistyped key from an unknown one without asking a store.
public struct APIKeyText: Sendable, Hashable {
    /// What every key begins with.
    public static let marker = "aus_"
    static let randomCharacters = 32
    static let checksumCharacters = 6
    /// The length of every key in characters (and bytes).
    public static let length = 42

    /// The whole key: secret.
    public let text: String

    private init(text: String) { self.text = text }

    /// A new random key (190 bits).
    public static func make() -> APIKeyText {
        let body = marker + RandomToken.base62(randomCharacters)
        return APIKeyText(text: body + String(decoding: checksum(of: Array(body.utf8)[...]), as: UTF8.self))
    }

    /// The key in a text that came from outside; nil when marker, length, alphabet or checksum is wrong.
    ///
    /// On the way of every request with a key, hence bytes and no characters.
    public init?(parsing text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == Self.length, bytes.starts(with: Self.marker.utf8) else { return nil }
        let body = bytes.prefix(Self.length - Self.checksumCharacters)
        guard body.dropFirst(Self.marker.utf8.count).allSatisfy(Self.isBase62) else { return nil }
        guard constantTimeEquals(Self.checksum(of: body), Array(bytes.suffix(Self.checksumCharacters))) else { return nil }
        self.text = text
    }

    private static func isBase62(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }

    /// What a store keeps and looks the key up by.
    public var sha256: SHA256Digest { SHA256.digest(utf8: text) }

    /// The first 8 characters, by which an owner recognises a key in a list.
    public var prefix: String { String(text.prefix(8)) }

    /// Six base62 characters made of the first 40 bits of the body's SHA-256, most significant first.
    static func checksum(of body: ArraySlice<UInt8>) -> [UInt8] {
        var number = SHA256.digest(body).bytes.prefix(5).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        var characters = [UInt8](repeating: 0, count: checksumCharacters)
        for position in characters.indices.reversed() {
            characters[position] = RandomToken.base62Alphabet[Int(number % 62)]
            number /= 62
        }
        return characters
    }
}

extension APIKeyText: CustomStringConvertible {
    /// The prefix only, so that a key that strays into a log is not a leak.
    public var description: String { "\(prefix)…" }
}
