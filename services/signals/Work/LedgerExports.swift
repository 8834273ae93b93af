import Contracts

/// Makes the documents by which anybody can check a signal's chain.
///
/// Head, rows and seals are read as they stood at one moment: an append and its seal between two statements would look like a cut tail.
struct LedgerExports: Sendable {
    static let maximumRows = 10_000

    let store: any SignalsStore

    /// The rows after `afterSeq` and the seals over them; payloads and nonces for the entitled only. Nil when there is no such signal.
    func export(_ signalID: SignalID, afterSeq: Int64, limit: Int, isEntitled: Bool) async throws -> LedgerExport? {
        try await store.snapshot { try await Self.export(signalID, afterSeq: afterSeq, limit: limit, isEntitled: isEntitled, from: $0) }
    }

    private static func export(_ signalID: SignalID, afterSeq: Int64, limit: Int, isEntitled: Bool, from store: any SignalsStore) async throws
        -> LedgerExport?
    {
        guard let head = try await store.head(signalID) else { return nil }
        // The row before the part gives the link that the part begins from.
        let wanted = max(0, afterSeq - 1)
        var rows = try await store.predictions(PredictionQuery(signalID: signalID, afterSeq: wanted, limit: limit + (afterSeq > 0 ? 1 : 0)))
        var previousLink: SHA256Digest?
        if afterSeq > 0 {
            guard let before = rows.first, before.entry.seq == afterSeq else {
                return LedgerExport(signalID: signalID, ledgerEpoch: try await store.ledgerEpoch(), rows: [], seals: [])
            }
            previousLink = before.entry.link
            rows.removeFirst()
        }
        let last = rows.last?.entry.seq ?? afterSeq
        let isWhole = last >= head.seq
        // The last part carries every later seal as well, so that a cut tail shows.
        let seals = try await store.seals(of: signalID, afterSeq: afterSeq, throughSeq: isWhole ? .max : last)
        return LedgerExport(
            signalID: signalID,
            ledgerEpoch: try await store.ledgerEpoch(),
            previousLink: previousLink,
            rows: rows.map { LedgerExport.Row($0.entry, isEntitled: isEntitled) },
            seals: seals.map { LedgerExport.Seal($0) },
            nextAfterSeq: isWhole ? nil : last
        )
    }

    /// Walks a whole chain, a part at a time, and holds it against its seals and its head; the first fault, or nil.
    func firstFault(of signalID: SignalID, signatureIsGood: (LedgerSeal) -> Bool) async throws -> (fault: LedgerFault?, rows: Int) {
        try await store.snapshot { try await Self.firstFault(of: signalID, in: $0, signatureIsGood: signatureIsGood) }
    }

    private static func firstFault(of signalID: SignalID, in store: any SignalsStore, signatureIsGood: (LedgerSeal) -> Bool) async throws
        -> (fault: LedgerFault?, rows: Int)
    {
        var verifier = LedgerVerifier(signalID: signalID)
        let head = try await store.head(signalID)
        var last: Int64 = 0
        while true {
            let rows = try await store.predictions(PredictionQuery(signalID: signalID, afterSeq: last, limit: 1_000))
            for row in rows {
                if let fault = verifier.check(row.entry) { return (fault, verifier.verifiedRows) }
            }
            guard let end = rows.last?.entry.seq else { break }
            last = end
        }
        // A window of rows at a time, and at the end whatever was sealed beyond the last row.
        var from: Int64 = 0
        while true {
            let through = from < last ? min(from + 5_000, last) : Int64.max
            for seal in try await store.seals(of: signalID, afterSeq: from, throughSeq: through) {
                if let fault = verifier.check(seal, signatureIsGood: signatureIsGood) { return (fault, verifier.verifiedRows) }
            }
            if through == .max { break }
            from = through
        }
        if let head, head.seq > last { return (LedgerFault(kind: .truncated, seq: last + 1), verifier.verifiedRows) }
        return (nil, verifier.verifiedRows)
    }
}

extension LedgerExports {
    /// Follows the chain of all seals from the first one; the first fault, or nil.
    func firstFaultOfSeals(signatureIsGood: (LedgerSeal) -> Bool) async throws -> LedgerFault? {
        try await store.snapshot { try await Self.firstFaultOfSeals(in: $0, signatureIsGood: signatureIsGood) }
    }

    private static func firstFaultOfSeals(in store: any SignalsStore, signatureIsGood: (LedgerSeal) -> Bool) async throws -> LedgerFault? {
        var previous = LedgerHash.zero
        var number: Int64 = 0
        while true {
            let seals = try await store.seals(after: number, limit: 500)
            for seal in seals {
                guard seal.number == number + 1 else { return LedgerFault(kind: .gap, seal: number + 1) }
                guard LedgerHash.merkleRoot(seal.heads) == seal.merkle else { return LedgerFault(kind: .merkle, seal: seal.number) }
                guard LedgerHash.root(previous: previous, merkle: seal.merkle) == seal.root else {
                    return LedgerFault(kind: .root, seal: seal.number)
                }
                guard signatureIsGood(seal) else { return LedgerFault(kind: .signature, seal: seal.number) }
                previous = seal.root
                number = seal.number
            }
            if seals.isEmpty { return nil }
        }
    }
}
