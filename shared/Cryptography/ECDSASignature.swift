import COpenSSL

/// ECDSA signatures on P-256, between the DER of OpenSSL and the 64 raw bytes (r ‖ s) of JOSE (RFC 7518 section 3.4).
enum ECDSASignature {
    static let rawBytes = 64

    static func raw(fromDER encoded: [UInt8]) -> [UInt8]? {
        encoded.withUnsafeBufferPointer { buffer -> [UInt8]? in
            var cursor = buffer.baseAddress
            guard let signature = d2i_ECDSA_SIG(nil, &cursor, buffer.count) else { return nil }
            defer { ECDSA_SIG_free(signature) }
            return [UInt8](unsafeUninitializedCapacity: rawBytes) { raw, count in
                let r = BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw.baseAddress, 32)
                let s = BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw.baseAddress.map { $0 + 32 }, 32)
                count = r == 32 && s == 32 ? rawBytes : 0
            }
        }
    }

    static func encoded(fromRaw raw: [UInt8]) -> [UInt8]? {
        guard raw.count == rawBytes, let signature = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(signature) }
        let numbers = raw.withUnsafeBufferPointer { buffer in
            (BN_bin2bn(buffer.baseAddress, 32, nil), BN_bin2bn(buffer.baseAddress.map { $0 + 32 }, 32, nil))
        }
        // On success the signature owns both numbers.
        guard ECDSA_SIG_set0(signature, numbers.0, numbers.1) == 1 else {
            BN_free(numbers.0)
            BN_free(numbers.1)
            return nil
        }
        var buffer: UnsafeMutablePointer<UInt8>?
        let count = i2d_ECDSA_SIG(signature, &buffer)
        defer { CRYPTO_free(buffer, nil, 0) }
        guard let buffer, count > 0 else { return nil }
        return Array(UnsafeBufferPointer(start: buffer, count: Int(count)))
    }
}
