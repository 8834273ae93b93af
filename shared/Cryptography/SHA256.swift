import COpenSSL
public import Contracts

/// SHA-256 (FIPS 180-4), in one call or piece by piece.
public enum SHA256 {
    /// The digest of bytes in memory, without copying them.
    public static func digest(_ bytes: UnsafeRawBufferPointer) -> SHA256Digest {
        var hasher = Hasher()
        hasher.update(bytes)
        return hasher.finalize()
    }

    /// The digest of any bytes; contiguous ones are not copied.
    public static func digest(_ bytes: some Sequence<UInt8>) -> SHA256Digest {
        var hasher = Hasher()
        hasher.update(bytes)
        return hasher.finalize()
    }

    /// The digest of the text's UTF-8 bytes.
    public static func digest(utf8 text: String) -> SHA256Digest { digest(text.utf8) }

    /// A running digest: a plain value, so a copy forks the hash at that point.
    public struct Hasher: Sendable {
        private var context = SHA256_CTX()

        /// A hasher that has seen no bytes.
        public init() { SHA256_Init(&context) }

        /// Takes more bytes without copying them.
        public mutating func update(_ bytes: UnsafeRawBufferPointer) {
            guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
            SHA256_Update(&context, start, bytes.count)
        }

        /// Takes more bytes; contiguous ones are not copied.
        public mutating func update(_ bytes: some Sequence<UInt8>) {
            let taken: Void? = bytes.withContiguousStorageIfAvailable { self.update(UnsafeRawBufferPointer($0)) }
            if taken == nil {
                Array(bytes).withUnsafeBytes { self.update($0) }
            }
        }

        /// The digest of all bytes so far; the hasher may go on afterwards.
        public func finalize() -> SHA256Digest {
            var last = context
            let bytes = [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
                SHA256_Final(buffer.baseAddress, &last)
                count = 32
            }
            guard let digest = SHA256Digest(bytes: bytes) else { preconditionFailure("a digest has 32 bytes") }
            return digest
        }
    }
}
