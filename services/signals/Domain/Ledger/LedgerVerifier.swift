import Contracts

/// What is wrong with a ledger, and where it first goes wrong.
struct LedgerFault: Sendable, Hashable, CustomStringConvertible {
    enum Kind: String, Sendable {
        /// A `seq` is missing (a swapped pair is met as a gap too).
        case gap
        /// The leaf is not the hash of nonce and payload.
        case payload
        /// The link does not follow from the row and the link before it.
        case link
        /// The rows end before the last sealed head.
        case truncated
        /// The chain is sound in itself but is not the one that was sealed.
        case seal
        /// A seal's Merkle root is not that of its heads.
        case merkle
        /// A seal's root does not follow from the root before it.
        case root
        /// A seal is not signed by the ledger's key.
        case signature
    }

    var kind: Kind
    /// The first bad row; nil when the fault is a seal's own.
    var seq: Int64?
    /// The seal that shows the fault.
    var seal: Int64?

    var description: String {
        var words = "first bad row"
        if let seq { words += " \(seq)" } else { words = "no row is bad, but a seal is" }
        if let seal { words += ", against seal \(seal)" }
        return "\(words): \(kind.rawValue)"
    }
}

/// Walks one signal's chain row by row and then holds it against the seals; stops at the first fault.
///
/// It is fed a row at a time so that a long ledger need not stand in memory: 32 bytes a row are kept.
struct LedgerVerifier: Sendable {
    let signalID: SignalID
    private var links: [SHA256Digest] = []
    private let firstSeq: Int64
    private let firstPrevious: SHA256Digest
    private var previousRoot: SHA256Digest?
    private var previousSealNumber: Int64 = 0

    /// - Parameters:
    ///   - firstSeq: where the rows begin; a part of a chain is checked from `previousLink` on.
    init(signalID: SignalID, firstSeq: Int64 = 1, previousLink: SHA256Digest = LedgerHash.zero) {
        self.signalID = signalID
        self.firstSeq = firstSeq
        self.firstPrevious = previousLink
        previousRoot = LedgerHash.zero
    }

    /// Rows that passed.
    var verifiedRows: Int { links.count }

    /// Takes the next row of the chain.
    mutating func check(_ entry: LedgerEntry) -> LedgerFault? {
        let expected = firstSeq + Int64(links.count)
        guard entry.seq == expected else { return LedgerFault(kind: .gap, seq: expected) }
        if let payload = entry.payload, let nonce = entry.nonce {
            guard LedgerHash.leaf(nonce: nonce, payload: payload) == entry.leaf else { return LedgerFault(kind: .payload, seq: entry.seq) }
        }
        let previous = links.last ?? firstPrevious
        let link = LedgerHash.link(previous: previous, signalID: signalID, seq: entry.seq, madeAt: entry.madeAt, leaf: entry.leaf)
        guard link == entry.link else { return LedgerFault(kind: .link, seq: entry.seq) }
        links.append(link)
        return nil
    }

    /// Takes the next seal, after all rows: first the seal itself, then the head of this chain in it.
    mutating func check(_ seal: LedgerSeal, signatureIsGood: (LedgerSeal) -> Bool = { _ in true }) -> LedgerFault? {
        let ordered = zip(seal.heads, seal.heads.dropFirst()).allSatisfy { $0.signalID < $1.signalID }
        guard ordered, !seal.heads.isEmpty, LedgerHash.merkleRoot(seal.heads) == seal.merkle else {
            return LedgerFault(kind: .merkle, seal: seal.number)
        }
        // Seals that touch one signal need not be neighbours; then the seal names the root that it follows.
        let follows = seal.number == previousSealNumber + 1
        guard let before = follows ? previousRoot : seal.previousRoot, LedgerHash.root(previous: before, merkle: seal.merkle) == seal.root else {
            return LedgerFault(kind: .root, seal: seal.number)
        }
        guard signatureIsGood(seal) else { return LedgerFault(kind: .signature, seal: seal.number) }
        previousRoot = seal.root
        previousSealNumber = seal.number
        guard let head = seal.heads.first(where: { $0.signalID == signalID }), head.seq >= firstSeq else { return nil }
        let index = Int(head.seq - firstSeq)
        guard index < links.count else { return LedgerFault(kind: .truncated, seq: firstSeq + Int64(links.count)) }
        guard links[index] == head.link else { return LedgerFault(kind: .seal, seq: head.seq, seal: seal.number) }
        return nil
    }

    /// The first fault of a whole ledger, or nil when it is sound.
    static func firstFault(
        signalID: SignalID,
        entries: some Sequence<LedgerEntry>,
        seals: some Sequence<LedgerSeal>,
        firstSeq: Int64 = 1,
        previousLink: SHA256Digest = LedgerHash.zero,
        signatureIsGood: (LedgerSeal) -> Bool = { _ in true }
    ) -> LedgerFault? {
        var verifier = LedgerVerifier(signalID: signalID, firstSeq: firstSeq, previousLink: previousLink)
        for entry in entries {
            if let fault = verifier.check(entry) { return fault }
        }
        for seal in seals {
            if let fault = verifier.check(seal, signatureIsGood: signatureIsGood) { return fault }
        }
        return nil
    }
}
