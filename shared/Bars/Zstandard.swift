import CZstd

/// What of zstd chunks need, with a limit on what an answer may claim to hold.
enum Zstandard {
    /// One frame after the other with the same working memory.
    final class Compressor {
        private let context = ZSTD_createCCtx()

        init(level: Int32) {
            ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
            // The reader knows the length and the checksum is the chunk's.
            ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)
        }

        deinit { ZSTD_freeCCtx(context) }

        /// Nothing when it takes as much as the bytes themselves.
        func compress(_ bytes: [UInt8]) -> [UInt8]? {
            var failed = false
            let result = [UInt8](unsafeUninitializedCapacity: bytes.count) { buffer, count in
                let written = ZSTD_compress2(context, buffer.baseAddress, bytes.count, bytes, bytes.count)
                failed = ZSTD_isError(written) != 0
                count = failed ? 0 : written
            }
            return failed ? nil : result
        }
    }

    /// One frame after the other with the same working memory.
    final class Decompressor {
        private let context = ZSTD_createDCtx()

        deinit { ZSTD_freeDCtx(context) }

        /// Nothing when the bytes are no zstd frame or do not hold exactly `expected` bytes.
        func decompress(_ bytes: UnsafeRawBufferPointer, expected: Int) -> [UInt8]? {
            var complete = false
            let result = [UInt8](unsafeUninitializedCapacity: expected) { buffer, count in
                let written = ZSTD_decompressDCtx(context, buffer.baseAddress, expected, bytes.baseAddress, bytes.count)
                complete = ZSTD_isError(written) == 0 && written == expected
                count = complete ? written : 0
            }
            return complete ? result : nil
        }
    }
}
