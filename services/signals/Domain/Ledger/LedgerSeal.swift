import Contracts

/// The end of one signal's chain at the time of a seal.
struct LedgerHead: Sendable, Hashable {
    var signalID: SignalID
    var seq: Int64
    var link: SHA256Digest
}

/// One second's signed statement about all chains that grew in it.
struct LedgerSeal: Sendable, Hashable {
    /// Counts from 1 without gaps, across all signals.
    var number: Int64
    /// In the order of the signal ids.
    var heads: [LedgerHead]
    var merkle: SHA256Digest
    var root: SHA256Digest
    /// Absent in a list of seals that starts at the first one.
    var previousRoot: SHA256Digest?
    var sealedAt: Timestamp?
    /// ES256 over `signedText`, base64url.
    var signature: String?
    var keyID: String?

    /// How far this seal goes in a signal's chain; nil when it holds no head of it.
    func seq(of signalID: SignalID) -> Int64? { heads.lazy.filter { $0.signalID == signalID }.map(\.seq).max() }

    /// What the service's key signs.
    static func signedText(number: Int64, root: SHA256Digest, sealedAt: Timestamp) -> String {
        "auspex-ledger-seal\n\(number)\n\(root.hex)\n\(sealedAt.microseconds)"
    }

    /// Makes the next seal after one with `previousRoot`; heads are put in order here.
    static func next(number: Int64, previousRoot: SHA256Digest, heads: [LedgerHead]) -> LedgerSeal {
        let ordered = heads.sorted { $0.signalID < $1.signalID }
        let merkle = LedgerHash.merkleRoot(ordered)
        return LedgerSeal(
            number: number,
            heads: ordered,
            merkle: merkle,
            root: LedgerHash.root(previous: previousRoot, merkle: merkle),
            previousRoot: previousRoot
        )
    }
}
