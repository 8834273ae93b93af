import CZstd

/// The two calls of zstd that chunks need, with a limit on what an answer may claim to hold.
enum Zstandard {
    static func compress(_ bytes: [UInt8]) -> [UInt8]? {
        let bound = ZSTD_compressBound(bytes.count)
        var failed = false
        let result = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            let written = ZSTD_compress(buffer.baseAddress, bound, bytes, bytes.count, 6)
            failed = ZSTD_isError(written) != 0
            count = failed ? 0 : written
        }
        return failed ? nil : result
    }

    /// Nothing when the bytes are no zstd frame or do not hold exactly `expected` bytes.
    static func decompress(_ bytes: ArraySlice<UInt8>, expected: Int) -> [UInt8]? {
        var complete = false
        let result = [UInt8](unsafeUninitializedCapacity: expected) { buffer, count in
            let written = bytes.withUnsafeBytes { ZSTD_decompress(buffer.baseAddress, expected, $0.baseAddress, $0.count) }
            complete = ZSTD_isError(written) == 0 && written == expected
            count = complete ? written : 0
        }
        return complete ? result : nil
    }
}
