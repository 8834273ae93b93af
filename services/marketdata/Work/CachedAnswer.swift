import Bars
import Contracts

/// What of an answer is remembered; the instrument is looked up anew for each request.
struct CachedAnswer: Sendable {
    private struct Header: Codable {
        var lastIsPartial: Bool
        var isApproximate: Bool
        var nextStart: Int64?
        var dataSHA256: SHA256Digest
        var revision: Int
        var through: Int64?
    }

    var bars: BarSeries
    var lastIsPartial: Bool
    var isApproximate: Bool
    var nextStart: Int64?
    var dataSHA256: SHA256Digest
    var revision: Int
    /// Of live days: everything that ends by here was known.
    var through: Int64?

    /// A line of JSON, then the bars as a chunk with its checksum.
    func encoded() throws -> [UInt8] {
        let header = Header(
            lastIsPartial: lastIsPartial,
            isApproximate: isApproximate,
            nextStart: nextStart,
            dataSHA256: dataSHA256,
            revision: revision,
            through: through
        )
        return try WireJSON.encode(header) + [0x0A] + DayChunk.encode(bars)
    }
}

extension CachedAnswer {
    /// Nothing when the bytes are not whole: then the answer is made again.
    init?(_ bytes: [UInt8]) {
        guard let end = bytes.firstIndex(of: 0x0A), let header = try? WireJSON.decode(Header.self, from: Array(bytes[..<end])),
            let bars = try? DayChunk.decode(Array(bytes[(end + 1)...]))
        else { return nil }
        self.init(
            bars: bars,
            lastIsPartial: header.lastIsPartial,
            isApproximate: header.isApproximate,
            nextStart: header.nextStart,
            dataSHA256: header.dataSHA256,
            revision: header.revision,
            through: header.through
        )
    }
}
