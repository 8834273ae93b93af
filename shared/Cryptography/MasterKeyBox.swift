import COpenSSL

/// Seals small secrets for storage (AES-256-GCM) under the current master key, and opens what any kept version sealed.
///
/// Sealed bytes: `1` (format), version (4, big-endian), nonce (12), ciphertext, tag (16). The format, the version and the caller's
/// context are authenticated, so a sealed secret that is moved to another row does not open.
public struct MasterKeyBox: Sendable {
    private static let format: UInt8 = 1
    private static let headBytes = 5
    private static let nonceBytes = 12
    private static let tagBytes = 16

    private let keys: [UInt32: [UInt8]]
    /// The version that seals.
    public let currentVersion: UInt32

    /// A box over the keys of a file.
    public init(_ file: MasterKeyFile) {
        self.keys = file.keys
        self.currentVersion = file.keys.keys.max() ?? 0
    }

    /// A box over the keys of the file at that path.
    public init(path: String) throws(CryptographyError) { self.init(try MasterKeyFile(path: path)) }

    /// The secret, sealed under the current version for this context (for example `auth.signing_keys/<kid>`).
    public func seal(_ secret: [UInt8], context: String) throws(CryptographyError) -> [UInt8] {
        guard let key = keys[currentVersion] else { throw .unknownMasterKeyVersion(currentVersion) }
        let head = Self.head(version: currentVersion)
        let nonce = RandomToken.bytes(Self.nonceBytes)
        guard let cipher = EVP_CIPHER_CTX_new() else { throw .libraryFailed(operation: "EVP_CIPHER_CTX_new") }
        defer { EVP_CIPHER_CTX_free(cipher) }
        var output = [UInt8](repeating: 0, count: secret.count + Self.tagBytes)
        var tag = [UInt8](repeating: 0, count: Self.tagBytes)
        var count: Int32 = 0
        let associated = head + Array(context.utf8)
        guard EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), nil, key, nonce) == 1,
            EVP_EncryptUpdate(cipher, nil, &count, associated, Int32(associated.count)) == 1,
            EVP_EncryptUpdate(cipher, &output, &count, secret, Int32(secret.count)) == 1, count == Int32(secret.count),
            EVP_EncryptFinal_ex(cipher, &tag, &count) == 1,
            EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagBytes), &tag) == 1
        else { throw .libraryFailed(operation: "AES-256-GCM seal") }
        return head + nonce + output.prefix(secret.count) + tag
    }

    /// The secret that was sealed for this context.
    public func open(_ sealed: [UInt8], context: String) throws(CryptographyError) -> [UInt8] {
        guard let version = Self.version(of: sealed) else { throw .sealBroken }
        guard let key = keys[version] else { throw .unknownMasterKeyVersion(version) }
        let nonce = Array(sealed[Self.headBytes..<Self.headBytes + Self.nonceBytes])
        let ciphertext = Array(sealed[(Self.headBytes + Self.nonceBytes)..<(sealed.count - Self.tagBytes)])
        var tag = Array(sealed.suffix(Self.tagBytes))
        guard let cipher = EVP_CIPHER_CTX_new() else { throw .libraryFailed(operation: "EVP_CIPHER_CTX_new") }
        defer { EVP_CIPHER_CTX_free(cipher) }
        var output = [UInt8](repeating: 0, count: ciphertext.count + Self.tagBytes)
        var last = [UInt8](repeating: 0, count: Self.tagBytes)
        var count: Int32 = 0
        let associated = Self.head(version: version) + Array(context.utf8)
        guard EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), nil, key, nonce) == 1,
            EVP_DecryptUpdate(cipher, nil, &count, associated, Int32(associated.count)) == 1,
            EVP_DecryptUpdate(cipher, &output, &count, ciphertext, Int32(ciphertext.count)) == 1, count == Int32(ciphertext.count),
            EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagBytes), &tag) == 1,
            EVP_DecryptFinal_ex(cipher, &last, &count) == 1
        else {
            ERR_clear_error()
            throw .sealBroken
        }
        return Array(output.prefix(ciphertext.count))
    }

    /// The secret sealed anew under the current version; nil when it already is.
    public func rewrap(_ sealed: [UInt8], context: String) throws(CryptographyError) -> [UInt8]? {
        guard Self.version(of: sealed) != currentVersion else { return nil }
        return try seal(try open(sealed, context: context), context: context)
    }

    /// The master key version that sealed these bytes; nil when they are no sealed bytes.
    public static func version(of sealed: [UInt8]) -> UInt32? {
        guard sealed.count >= headBytes + nonceBytes + tagBytes, sealed[0] == format else { return nil }
        return sealed[1..<headBytes].reduce(0) { $0 << 8 | UInt32($1) }
    }

    private static func head(version: UInt32) -> [UInt8] {
        [format] + withUnsafeBytes(of: version.bigEndian) { Array($0) }
    }
}
