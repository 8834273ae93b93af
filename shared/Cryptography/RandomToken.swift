/// Unguessable bytes and texts, from the kernel's generator.
public enum RandomToken {
    static let base62Alphabet = [UInt8]("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// That many random bytes.
    public static func bytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 7)
        while bytes.count < count {
            var word = generator.next()
            for _ in 0..<8 {
                bytes.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// That many characters of `0-9A-Za-z`, each equally likely; a character is worth 5.95 bits.
    public static func base62(_ length: Int) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(length)
        while text.count < length {
            // 248 = 4 × 62: bytes above it would favour the first characters.
            for byte in bytes(length) where byte < 248 && text.count < length {
                text.append(base62Alphabet[Int(byte) % 62])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// That many random bytes as unpadded base64url text.
    public static func base64URL(bytes count: Int) -> String { Base64URL.encode(bytes(count)) }
}
