import Contracts
import Cryptography

/// The hash rules of the prediction ledger; integers are big-endian, every kind of node has a prefix byte of its own.
enum LedgerHash {
    /// What stands before the first link of a chain and before the first root of all seals.
    static let zero: SHA256Digest = {
        guard let digest = SHA256Digest(bytes: [UInt8](repeating: 0, count: 32)) else { preconditionFailure("a digest has 32 bytes") }
        return digest
    }()

    /// SHA-256(0x00 ‖ nonce ‖ payload). The nonce keeps an outsider from guessing a short payload from its leaf.
    static func leaf(nonce: [UInt8], payload: String) -> SHA256Digest {
        var bytes: [UInt8] = [0x00]
        bytes += nonce
        bytes += payload.utf8
        return SHA256.digest(bytes)
    }

    /// SHA-256(0x01 ‖ previous link ‖ signal ‖ seq ‖ made_at in µs ‖ leaf).
    static func link(previous: SHA256Digest, signalID: SignalID, seq: Int64, madeAt: Timestamp, leaf: SHA256Digest) -> SHA256Digest {
        var bytes: [UInt8] = [0x01]
        bytes.reserveCapacity(1 + 32 + 16 + 8 + 8 + 32)
        bytes += previous.bytes
        bytes += signalID.bytes
        bytes += bigEndian(seq)
        bytes += bigEndian(madeAt.microseconds)
        bytes += leaf.bytes
        return SHA256.digest(bytes)
    }

    /// What one changed head puts into a seal: signal ‖ seq ‖ link.
    static func headEntry(_ head: LedgerHead) -> [UInt8] {
        head.signalID.bytes + bigEndian(head.seq) + head.link.bytes
    }

    /// The Merkle root (RFC 6962) over heads, which must stand in the order of their signal ids.
    static func merkleRoot(_ heads: [LedgerHead]) -> SHA256Digest {
        MerkleTree.root(heads.map(headEntry))
    }

    /// SHA-256(0x02 ‖ previous root ‖ Merkle root): the seals are a chain of their own.
    static func root(previous: SHA256Digest, merkle: SHA256Digest) -> SHA256Digest {
        var bytes: [UInt8] = [0x02]
        bytes += previous.bytes
        bytes += merkle.bytes
        return SHA256.digest(bytes)
    }

    private static func bigEndian(_ value: Int64) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
}
