import Contracts

/// One row of a signal's chain as a verifier sees it; payload and nonce are there for the entitled only.
struct LedgerEntry: Sendable, Hashable {
    var seq: Int64
    var madeAt: Timestamp
    var payload: String?
    /// 16 bytes.
    var nonce: [UInt8]?
    var leaf: SHA256Digest
    var link: SHA256Digest

    /// Puts a payload at the end of a chain.
    static func appended(
        payload: String,
        nonce: [UInt8],
        signalID: SignalID,
        seq: Int64,
        madeAt: Timestamp,
        after previous: SHA256Digest
    ) -> LedgerEntry {
        let leaf = LedgerHash.leaf(nonce: nonce, payload: payload)
        let link = LedgerHash.link(previous: previous, signalID: signalID, seq: seq, madeAt: madeAt, leaf: leaf)
        return LedgerEntry(seq: seq, madeAt: madeAt, payload: payload, nonce: nonce, leaf: leaf, link: link)
    }
}
