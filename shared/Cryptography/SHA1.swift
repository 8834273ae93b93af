import COpenSSL

/// SHA-1 (FIPS 180-4): for protocols that are built on it (WebSocket's handshake), never for anything that must not be forged.
public enum SHA1 {
    /// The twenty bytes of the digest.
    public static func digest(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 20) { buffer, count in
            _ = COpenSSL.SHA1(bytes, bytes.count, buffer.baseAddress)
            count = 20
        }
    }
}
