import Contracts

/// Makes the documents by which anybody can check a signal's chain.
///
/// Head, rows and seals are read as they stood at one moment: an append and its seal between two statements would look like a cut tail.
struct LedgerExports: Sendable {
    static let maximumRows = 10_000

    let store: any SignalsStore
    /// How many heads of all signals the seals of one part may hold.
    var maximumHeads = SealPage.maximumHeads

    /// The rows after `afterSeq` and the seals over them; payloads and nonces for the entitled only. Nil when there is no such signal.
    ///
    /// A part ends after `limit` rows, or sooner with the seal that fills it.
    func export(_ signalID: SignalID, afterSeq: Int64, limit: Int, isEntitled: Bool) async throws -> LedgerExport? {
        try await store.snapshot { try await export(signalID, afterSeq: afterSeq, limit: limit, isEntitled: isEntitled, from: $0) }
    }

    private func export(_ signalID: SignalID, afterSeq: Int64, limit: Int, isEntitled: Bool, from store: any SignalsStore) async throws
        -> LedgerExport?
    {
        guard let head = try await store.head(signalID) else { return nil }
        // The row before the part gives the link that the part begins from.
        let wanted = max(0, afterSeq - 1)
        var rows = try await store.predictions(PredictionQuery(signalID: signalID, afterSeq: wanted, limit: limit + (afterSeq > 0 ? 1 : 0)))
        var previousLink: SHA256Digest?
        if afterSeq > 0, let before = rows.first, before.entry.seq == afterSeq {
            previousLink = before.entry.link
            rows.removeFirst()
        }
        let last = rows.last?.entry.seq ?? afterSeq
        let isLast = rows.count < limit || last >= head.seq
        // Behind the last row come the later seals, if there are any: so a cut tail shows.
        let page = try await store.seals(of: signalID, afterSeq: afterSeq, throughSeq: isLast ? .max : last, maximumHeads: maximumHeads)
        var next = isLast ? nil : last
        if page.hasMore, let end = page.seals.last?.seq(of: signalID) {
            // The rows behind the last seal here come with the next part, beside the seals over them.
            rows.removeAll { $0.entry.seq > end }
            next = end
        }
        return LedgerExport(
            signalID: signalID,
            ledgerEpoch: try await store.ledgerEpoch(),
            previousLink: previousLink,
            rows: rows.map { LedgerExport.Row($0.entry, isEntitled: isEntitled) },
            seals: page.seals.map { LedgerExport.Seal($0) },
            nextAfterSeq: next
        )
    }

    /// Walks a whole chain, a part at a time, and holds it against its seals and its head; the first fault, or nil.
    func firstFault(of signalID: SignalID, signatureIsGood: (LedgerSeal) -> Bool) async throws -> (fault: LedgerFault?, rows: Int) {
        try await store.snapshot { try await firstFault(of: signalID, in: $0, signatureIsGood: signatureIsGood) }
    }

    private func firstFault(of signalID: SignalID, in store: any SignalsStore, signatureIsGood: (LedgerSeal) -> Bool) async throws
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
        // All seals over this chain, and those beyond its last row.
        var from: Int64 = 0
        while true {
            let page = try await store.seals(of: signalID, afterSeq: from, throughSeq: .max, maximumHeads: maximumHeads)
            for seal in page.seals {
                if let fault = verifier.check(seal, signatureIsGood: signatureIsGood) { return (fault, verifier.verifiedRows) }
            }
            guard page.hasMore, let end = page.seals.last?.seq(of: signalID) else { break }
            from = end
        }
        if let head, head.seq > last { return (LedgerFault(kind: .truncated, seq: last + 1), verifier.verifiedRows) }
        return (nil, verifier.verifiedRows)
    }
}

extension LedgerExports {
    /// Follows the chain of all seals from the first one; the first fault, or nil.
    func firstFaultOfSeals(signatureIsGood: (LedgerSeal) -> Bool) async throws -> LedgerFault? {
        try await store.snapshot { try await firstFaultOfSeals(in: $0, signatureIsGood: signatureIsGood) }
    }

    private func firstFaultOfSeals(in store: any SignalsStore, signatureIsGood: (LedgerSeal) -> Bool) async throws -> LedgerFault? {
        var previous = LedgerHash.zero
        var number: Int64 = 0
        while true {
            let page = try await store.seals(after: number, limit: 500, maximumHeads: maximumHeads)
            for seal in page.seals {
                guard seal.number == number + 1 else { return LedgerFault(kind: .gap, seal: number + 1) }
                guard LedgerHash.merkleRoot(seal.heads) == seal.merkle else { return LedgerFault(kind: .merkle, seal: seal.number) }
                guard LedgerHash.root(previous: previous, merkle: seal.merkle) == seal.root else {
                    return LedgerFault(kind: .root, seal: seal.number)
                }
                guard signatureIsGood(seal) else { return LedgerFault(kind: .signature, seal: seal.number) }
                previous = seal.root
                number = seal.number
            }
            if page.seals.isEmpty { return nil }
        }
    }
}
