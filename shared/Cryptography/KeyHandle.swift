import COpenSSL

/// An `EVP_PKEY`, freed with its last user.
///
/// Unchecked because it is a pointer to C: OpenSSL allows concurrent use of a key that nobody changes, and nothing here changes one.
final class KeyHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// Takes over the reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    deinit { EVP_PKEY_free(pointer) }

    /// The DER head of every uncompressed P-256 SubjectPublicKeyInfo; 64 bytes of coordinates follow it.
    private static let publicKeyHead: [UInt8] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
        0x03, 0x42, 0x00, 0x04,
    ]

    /// A public key of its two coordinates (32 bytes each); refused when the point is not on the curve.
    static func publicKey(x: [UInt8], y: [UInt8]) throws(CryptographyError) -> KeyHandle {
        guard x.count == 32, y.count == 32 else { throw .notP256 }
        let encoded = publicKeyHead + x + y
        let decoded = encoded.withUnsafeBufferPointer { buffer -> OpaquePointer? in
            var cursor = buffer.baseAddress
            return d2i_PUBKEY(nil, &cursor, buffer.count)
        }
        guard let decoded else {
            ERR_clear_error()
            throw .notP256
        }
        return KeyHandle(owning: decoded)
    }

    /// The coordinates of the public half; refused when the key is of another kind or curve.
    func coordinates() throws(CryptographyError) -> (x: [UInt8], y: [UInt8]) {
        var buffer: UnsafeMutablePointer<UInt8>?
        let count = i2d_PUBKEY(pointer, &buffer)
        defer { CRYPTO_free(buffer, nil, 0) }
        let head = Self.publicKeyHead
        guard let buffer, count == head.count + 64 else { throw .notP256 }
        let encoded = Array(UnsafeBufferPointer(start: buffer, count: Int(count)))
        guard encoded.starts(with: head) else { throw .notP256 }
        let point = encoded.dropFirst(head.count)
        return (Array(point.prefix(32)), Array(point.suffix(32)))
    }
}
