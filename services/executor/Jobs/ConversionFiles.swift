import Contracts
import Cryptography
import HTTPServing

/// The file of a conversion and the text that it becomes, both in parts that lie with marketdata.
struct ConversionFiles: Sendable {
    /// As long as marketdata's parts are at most.
    static let partBytes = 8 << 20

    let marketdata: ServiceClient

    private struct Stored: Decodable {
        var sha256: SHA256Digest
    }

    private static func headers(_ jobToken: String) -> Headers {
        var headers = Headers()
        headers["X-Auspex-Job"] = jobToken
        return headers
    }

    /// A part of the file, from 1; nil when marketdata has none.
    func part(_ number: Int, of uploadID: UploadID, jobToken: String) async throws -> [UInt8]? {
        let path = "/internal/v1/conversions/\(uploadID)/parts/\(number)"
        return try await marketdata.getBytes(path, headers: Self.headers(jobToken), maximumBytes: Self.partBytes)
    }

    /// Keeps a part of the text; gives its hash.
    func keep(_ bytes: [UInt8], of uploadID: UploadID, jobToken: String) async throws -> SHA256Digest {
        let path = "/internal/v1/conversions/\(uploadID)/table"
        let stored = try await marketdata.put(path, bytes: bytes, headers: Self.headers(jobToken), as: Stored.self)
        return stored.sha256
    }
}
