import Contracts
import Cryptography

/// The tree hash of RFC 6962: leaves and nodes are prefixed, so neither can be passed off as the other.
enum MerkleTree {
    /// The root over the entries; SHA-256 of nothing for none.
    static func root(_ entries: [[UInt8]]) -> SHA256Digest {
        guard !entries.isEmpty else { return SHA256.digest([UInt8]()) }
        return root(entries[...])
    }

    private static func root(_ entries: ArraySlice<[UInt8]>) -> SHA256Digest {
        if entries.count == 1, let entry = entries.first { return SHA256.digest([0x00] + entry) }
        // The left side takes the largest power of two that is smaller than the count.
        var split = 1
        while split * 2 < entries.count { split *= 2 }
        let middle = entries.startIndex + split
        return SHA256.digest([0x01] + root(entries[..<middle]).bytes + root(entries[middle...]).bytes)
    }
}
