import CCrypt
import Glibc

/// Password hashes: bcrypt in its `$2b$` form, by libxcrypt.
///
/// Every call blocks for its cost (a quarter of a second at 12): run it on the CPU pool's lane for password hashing, never on a loop.
public enum PasswordHash {
    /// bcrypt reads no more than this, so longer passwords are refused instead of cut.
    public static let maximumPasswordBytes = 72
    private static let allowedCosts = 4...31
    private static let hashLength = 60

    /// A salted hash of the password; `cost` is the logarithm of the rounds (4 … 31).
    public static func hash(_ password: String, cost: Int) throws(CryptographyError) -> String {
        guard allowedCosts.contains(cost) else { throw .costOutOfRange(cost) }
        try check(password)
        return try crypt(password, setting: try salt(cost: cost))
    }

    /// Whether the password is the one that was hashed.
    public static func verify(_ password: String, against hash: String) throws(CryptographyError) -> Bool {
        guard Self.cost(of: hash) != nil else { throw .malformedPasswordHash }
        try check(password)
        return constantTimeEquals(try crypt(password, setting: hash), hash)
    }

    /// The cost that a stored hash was made with; nil when the text is not a bcrypt hash.
    public static func cost(of hash: String) -> Int? {
        let bytes = [UInt8](hash.utf8)
        guard bytes.count == hashLength, bytes.starts(with: "$2".utf8), "aby".utf8.contains(bytes[2]), bytes[3] == UInt8(ascii: "$"),
            bytes[6] == UInt8(ascii: "$"), let cost = Int(String(decoding: bytes[4..<6], as: UTF8.self)), allowedCosts.contains(cost)
        else { return nil }
        let salt = bytes[7...]
        let digit: (UInt8) -> Bool = { RandomToken.base62Alphabet.contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/") }
        return salt.allSatisfy(digit) ? cost : nil
    }

    /// Throws what `hash` would throw for this password, without the work.
    public static func check(_ password: String) throws(CryptographyError) {
        let bytes = password.utf8
        guard bytes.count <= maximumPasswordBytes else { throw .passwordTooLong(bytes: bytes.count) }
        guard !bytes.contains(0) else { throw .passwordHoldsNUL }
    }

    private static func salt(cost: Int) throws(CryptographyError) -> String {
        let random = RandomToken.bytes(16).map(CChar.init(bitPattern:))
        var output = [CChar](repeating: 0, count: Int(CRYPT_GENSALT_OUTPUT_SIZE))
        guard crypt_gensalt_rn("$2b$", UInt(cost), random, Int32(random.count), &output, Int32(output.count)) != nil else {
            throw .libraryFailed(operation: "crypt_gensalt_rn")
        }
        return text(output)
    }

    /// The work area of `crypt_rn` is 32 KiB, so it lives on the heap, and it holds key material, so it is wiped.
    private static func crypt(_ password: String, setting: String) throws(CryptographyError) -> String {
        let size = MemoryLayout<crypt_data>.size
        let area = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: MemoryLayout<crypt_data>.alignment)
        area.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        defer {
            explicit_bzero(area, size)
            area.deallocate()
        }
        guard let result = crypt_rn(password, setting, area, Int32(size)) else { throw .libraryFailed(operation: "crypt_rn") }
        return String(cString: result)
    }

    private static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
