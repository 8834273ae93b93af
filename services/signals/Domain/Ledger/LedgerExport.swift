import Contracts

/// A signal's ledger as a document that any verifier can check alone: the answer of `GET /api/signals/{id}/ledger`.
///
/// The test vectors have the same shape, so one reader serves both.
struct LedgerExport: Sendable, Hashable, Codable {
    var signalID: SignalID
    /// A restored database begins a new epoch; absent in vectors.
    var ledgerEpoch: Int64?
    /// The link before the first row here; absent when the rows begin with the chain.
    var previousLink: SHA256Digest?
    var rows: [Row]
    var seals: [Seal]
    /// Where to ask on; absent when this is the end.
    var nextAfterSeq: Int64?

    struct Row: Sendable, Hashable, Codable {
        var seq: Int64
        /// Microseconds since 1970 UTC, as they are hashed.
        var madeAtUs: Int64
        var payload: String?
        /// 32 hex characters.
        var nonce: String?
        var leaf: SHA256Digest
        var link: SHA256Digest
    }

    struct Seal: Sendable, Hashable, Codable {
        /// The seal's number.
        var n: Int64
        var heads: [Head]
        var merkle: SHA256Digest
        var root: SHA256Digest
        var previousRoot: SHA256Digest?
        var sealedAtUs: Int64?
        var signature: String?
        var keyID: String?
    }

    struct Head: Sendable, Hashable, Codable {
        var signalID: SignalID
        var seq: Int64
        var link: SHA256Digest
    }

    /// The rows as the verifier takes them; nil when a nonce is not 16 bytes of hex.
    func entries() -> [LedgerEntry]? {
        var entries: [LedgerEntry] = []
        entries.reserveCapacity(rows.count)
        for row in rows {
            guard let entry = row.entry else { return nil }
            entries.append(entry)
        }
        return entries
    }

    /// The first fault of this document, checked from its own first row.
    func firstFault(signatureIsGood: (LedgerSeal) -> Bool = { _ in true }) -> LedgerFault? {
        guard let entries = entries() else { return LedgerFault(kind: .payload, seq: rows.first { $0.entry == nil }?.seq) }
        let firstSeq = previousLink == nil ? 1 : rows.first?.seq ?? 1
        return LedgerVerifier.firstFault(
            signalID: signalID,
            entries: entries,
            seals: seals.map(\.seal),
            firstSeq: firstSeq,
            previousLink: previousLink ?? LedgerHash.zero,
            signatureIsGood: signatureIsGood
        )
    }
}

extension LedgerExport.Row {
    init(_ entry: LedgerEntry, isEntitled: Bool) {
        self.init(
            seq: entry.seq,
            madeAtUs: entry.madeAt.microseconds,
            payload: isEntitled ? entry.payload : nil,
            nonce: isEntitled ? entry.nonce.map { Hex.encode($0) } : nil,
            leaf: entry.leaf,
            link: entry.link
        )
    }

    var entry: LedgerEntry? {
        var bytes: [UInt8]?
        if let nonce {
            guard let decoded = Hex.decode(nonce), decoded.count == 16 else { return nil }
            bytes = decoded
        }
        return LedgerEntry(seq: seq, madeAt: Timestamp(microseconds: madeAtUs), payload: payload, nonce: bytes, leaf: leaf, link: link)
    }
}

extension LedgerExport.Seal {
    init(_ seal: LedgerSeal) {
        self.init(
            n: seal.number,
            heads: seal.heads.map { .init(signalID: $0.signalID, seq: $0.seq, link: $0.link) },
            merkle: seal.merkle,
            root: seal.root,
            previousRoot: seal.previousRoot,
            sealedAtUs: seal.sealedAt?.microseconds,
            signature: seal.signature,
            keyID: seal.keyID
        )
    }

    var seal: LedgerSeal {
        LedgerSeal(
            number: n,
            heads: heads.map { LedgerHead(signalID: $0.signalID, seq: $0.seq, link: $0.link) },
            merkle: merkle,
            root: root,
            previousRoot: previousRoot,
            sealedAt: sealedAtUs.map { Timestamp(microseconds: $0) },
            signature: signature,
            keyID: keyID
        )
    }
}
