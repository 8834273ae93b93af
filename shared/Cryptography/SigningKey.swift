import COpenSSL

/// A P-256 private key that makes ES256 signatures.
public struct SigningKey: Sendable {
    private let handle: KeyHandle
    /// The public half.
    public let verifyingKey: VerifyingKey

    /// The RFC 7638 thumbprint of the public half, which tokens carry as `kid`.
    public var keyID: String { verifyingKey.keyID }

    private init(handle: KeyHandle) throws(CryptographyError) {
        self.handle = handle
        let point = try handle.coordinates()
        self.verifyingKey = try VerifyingKey(x: point.x, y: point.y)
    }

    /// A new random key.
    public static func generate() throws(CryptographyError) -> SigningKey {
        guard let pointer = auspex_p256_generate() else { throw .libraryFailed(operation: "EVP_EC_gen") }
        return try SigningKey(handle: KeyHandle(owning: pointer))
    }

    /// The key in an unencrypted PEM text (PKCS #8 or SEC 1).
    public init(pem: String) throws(CryptographyError) {
        let text = [UInt8](pem.utf8)
        guard let bio = BIO_new_mem_buf(text, Int32(clamping: text.count)) else { throw .libraryFailed(operation: "BIO_new_mem_buf") }
        defer { BIO_free(bio) }
        // The callback refuses encrypted files; without it OpenSSL would ask on the terminal.
        guard let pointer = PEM_read_bio_PrivateKey(bio, nil, { _, _, _, _ in -1 }, nil) else {
            ERR_clear_error()
            throw .malformedPEM
        }
        try self.init(handle: KeyHandle(owning: pointer))
    }

    /// The key as an unencrypted PKCS #8 PEM text: secret.
    public func pem() throws(CryptographyError) -> String {
        guard let bio = BIO_new(BIO_s_mem()) else { throw .libraryFailed(operation: "BIO_new") }
        defer { BIO_free(bio) }
        guard PEM_write_bio_PKCS8PrivateKey(bio, handle.pointer, nil, nil, 0, nil, nil) == 1 else {
            throw .libraryFailed(operation: "PEM_write_bio_PKCS8PrivateKey")
        }
        var bytes: UnsafeMutablePointer<CChar>?
        let count = auspex_bio_memory(bio, &bytes)
        guard let bytes, count > 0 else { throw .libraryFailed(operation: "BIO_get_mem_data") }
        return String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    /// The ES256 signature of the message: 64 raw bytes, r ‖ s.
    public func signature(for message: [UInt8]) throws(CryptographyError) -> [UInt8] {
        guard let context = EVP_MD_CTX_new() else { throw .libraryFailed(operation: "EVP_MD_CTX_new") }
        defer { EVP_MD_CTX_free(context) }
        var encoded = [UInt8](repeating: 0, count: 80)
        var count = encoded.count
        guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, handle.pointer) == 1,
            EVP_DigestSign(context, &encoded, &count, message, message.count) == 1,
            let raw = ECDSASignature.raw(fromDER: Array(encoded.prefix(count))), raw.count == ECDSASignature.rawBytes
        else { throw .libraryFailed(operation: "EVP_DigestSign") }
        return raw
    }
}
