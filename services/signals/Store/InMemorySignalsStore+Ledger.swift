import Contracts
import Synchronization

extension InMemorySignalsStore {
    func append(_ run: CompletedRun) async throws -> AppendOutcome {
        let clock = Timestamp.now()
        return try state.withLock { state in
            guard var head = state.heads[run.signalID] else { throw SignalsStoreError.unknownSignal }
            let madeAt = MadeAt.next(clock: clock, last: head.madeAt)
            if let known = state.runs[run.jobID] {
                return AppendOutcome(
                    isNew: false,
                    firstSeq: known.firstSeq,
                    lastSeq: known.lastSeq,
                    head: head.link,
                    madeAt: madeAt,
                    late: known.late
                )
            }
            let rows = run.chained(after: head.link, seq: head.seq, madeAt: madeAt)
            let outcome = AppendOutcome(
                isNew: true,
                firstSeq: head.seq + 1,
                lastSeq: head.seq + Int64(rows.count),
                head: rows.last?.entry.link ?? head.link,
                madeAt: rows.last?.entry.madeAt ?? madeAt,
                late: rows.contains { $0.statement.late }
            )
            state.runs[run.jobID] = outcome
            state.predictions[run.signalID, default: []] += rows
            for row in rows {
                state.pending[run.signalID, default: [:]][row.entry.seq] = Settlement.waiting(for: row.statement, madeAt: row.entry.madeAt)
            }
            if !rows.isEmpty {
                head.seq = outcome.lastSeq
                head.link = outcome.head
                head.madeAt = outcome.madeAt
                head.revision += 1
                state.heads[run.signalID] = head
            }
            state.said.append(
                RunRecorded(
                    jobID: run.jobID,
                    signalID: run.signalID,
                    occurrenceID: run.occurrenceID,
                    firstSeq: outcome.firstSeq,
                    lastSeq: outcome.lastSeq,
                    rows: rows.count,
                    late: outcome.late,
                    recordedAt: outcome.madeAt
                )
            )
            if !rows.isEmpty {
                state.said.append(
                    PredictionRecorded(
                        signalID: run.signalID,
                        firstSeq: outcome.firstSeq,
                        lastSeq: outcome.lastSeq,
                        headLink: outcome.head,
                        madeAt: outcome.madeAt
                    )
                )
            }
            return outcome
        }
    }

    func record(_ run: EndedRun, now: Timestamp) async throws -> Bool {
        state.withLock { state in
            guard state.signals[run.signalID] != nil, state.runs[run.jobID] == nil else { return false }
            state.runs[run.jobID] = AppendOutcome(isNew: false, firstSeq: 0, lastSeq: 0, head: LedgerHash.zero, madeAt: now, late: false)
            if run.outcome == .rejected {
                state.said.append(
                    RunRejected(jobID: run.jobID, signalID: run.signalID, occurrenceID: run.occurrenceID, row: run.badRow, reason: run.reason)
                )
            }
            return true
        }
    }

    func head(_ signalID: SignalID) async throws -> SignalHead? { state.withLock { $0.heads[signalID] } }

    func views(_ signalIDs: [SignalID]) async throws -> [SignalView] {
        state.withLock { state in
            Set(signalIDs).sorted().compactMap { id in
                guard let signal = state.signals[id], let head = state.heads[id] else { return nil }
                let seal = state.seals.last { seal in seal.heads.contains { $0.signalID == id } }
                return SignalView(signal: signal, head: head, cadence: state.cadence[id]?.record, root: seal?.root, epoch: 1)
            }
        }
    }

    func revisions(_ signalIDs: [SignalID]) async throws -> [SignalID: Int64] {
        state.withLock { state in
            Dictionary(signalIDs.compactMap { id in state.heads[id].map { (id, $0.revision) } }, uniquingKeysWith: { first, _ in first })
        }
    }

    func ledgerEpoch() async throws -> Int64 { 1 }

    func predictions(_ queries: [PredictionQuery]) async throws -> [[StoredPrediction]] {
        state.withLock { state in queries.map { Self.predictions($0, state) } }
    }

    func predictions(_ query: PredictionQuery) async throws -> [StoredPrediction] {
        state.withLock { Self.predictions(query, $0) }
    }

    private static func predictions(_ query: PredictionQuery, _ state: State) -> [StoredPrediction] {
        let rows = (state.predictions[query.signalID] ?? []).filter { row in
            row.entry.seq > query.afterSeq ?? 0 && row.entry.seq < query.beforeSeq ?? .max
        }
        return Array((query.afterSeq == nil ? rows.reversed() : rows).prefix(query.limit))
    }

    func predictions(of signalIDs: [SignalID], before: PredictionPosition?, limit: Int) async throws -> [StoredPrediction] {
        state.withLock { state in
            let rows = Set(signalIDs).flatMap { state.predictions[$0] ?? [] }.sorted { $0.position > $1.position }
            return Array(rows.filter { row in before.map { row.position < $0 } ?? true }.prefix(limit))
        }
    }

    func predictions(above seqs: [SignalID: Int64], limit: Int) async throws -> [StoredPrediction] {
        state.withLock { state in
            let rows = seqs.flatMap { id, seq in (state.predictions[id] ?? []).filter { $0.entry.seq > seq } }
            return Array(rows.sorted { $0.position < $1.position }.prefix(limit))
        }
    }

    func seqs(of signalIDs: [SignalID], at moment: Timestamp) async throws -> [SignalID: Int64] {
        state.withLock { state in
            let seqs = signalIDs.map { id in (id, state.predictions[id]?.last { $0.entry.madeAt <= moment }?.entry.seq ?? 0) }
            return Dictionary(seqs, uniquingKeysWith: max)
        }
    }

    func seal(signing: @Sendable (_ text: String) throws -> (signature: String, keyID: String)) async throws -> LedgerSeal? {
        try state.withLock { state in
            let grown = state.heads.values.filter { $0.sealedSeq < $0.seq }
            guard !grown.isEmpty else { return nil }
            let last = state.seals.last
            var seal = LedgerSeal.next(
                number: (last?.number ?? 0) + 1,
                previousRoot: last?.root ?? LedgerHash.zero,
                heads: grown.map { LedgerHead(signalID: $0.signalID, seq: $0.seq, link: $0.link) }
            )
            let sealedAt = grown.compactMap(\.madeAt).reduce(max(.now(), last?.sealedAt ?? .distantPast), max)
            let signed = try signing(LedgerSeal.signedText(number: seal.number, root: seal.root, sealedAt: sealedAt))
            seal.sealedAt = sealedAt
            seal.signature = signed.signature
            seal.keyID = signed.keyID
            state.seals.append(seal)
            let reference = SealReference(number: seal.number, root: seal.root, sealedAt: sealedAt)
            for head in grown {
                state.heads[head.signalID]?.sealedSeq = head.seq
                state.raiseRevision(head.signalID)
                guard var rows = state.predictions[head.signalID] else { continue }
                for index in rows.indices where rows[index].entry.seq > head.sealedSeq { rows[index].seal = reference }
                state.predictions[head.signalID] = rows
            }
            return seal
        }
    }

    func remember(_ key: LedgerKey) async throws {
        state.withLock { state in
            if !state.ledgerKeys.contains(where: { $0.keyID == key.keyID }) { state.ledgerKeys.append(key) }
        }
    }

    func ledgerKeys() async throws -> [LedgerKey] {
        state.withLock { $0.ledgerKeys.sorted { ($0.firstUsedAt, $0.keyID) < ($1.firstUsedAt, $1.keyID) } }
    }

    func seals(of signalID: SignalID, afterSeq: Int64, throughSeq: Int64, maximumHeads: Int) async throws -> SealPage {
        let found = state.withLock { state in
            state.seals.filter { seal in seal.heads.contains { $0.signalID == signalID && $0.seq > afterSeq && $0.seq <= throughSeq } }
        }
        return Self.page(found, limit: .max, maximumHeads: maximumHeads)
    }

    func sealCount(of signalID: SignalID) async throws -> Int {
        state.withLock { $0.seals.count { seal in seal.heads.contains { $0.signalID == signalID } } }
    }

    func seals(after number: Int64, limit: Int, maximumHeads: Int) async throws -> SealPage {
        Self.page(state.withLock { $0.seals.filter { $0.number > number } }, limit: limit, maximumHeads: maximumHeads)
    }

    private static func page(_ found: [LedgerSeal], limit: Int, maximumHeads: Int) -> SealPage {
        var page = SealPage(seals: [], hasMore: false)
        var heads = 0
        for seal in found {
            if page.seals.count >= limit || (!page.seals.isEmpty && heads + seal.heads.count > maximumHeads) {
                page.hasMore = true
                break
            }
            page.seals.append(seal)
            heads += seal.heads.count
        }
        return page
    }

    func lastSeal(before moment: Timestamp) async throws -> LedgerSeal? {
        state.withLock { $0.seals.last { $0.sealedAt.map { $0 < moment } ?? false } }
    }

    // MARK: Outcomes

    func snapshot<Outcome>(_ body: (any SignalsStore) async throws -> Outcome) async throws -> Outcome { try await body(self) }

    func signalsToSettle(now: Timestamp, limit: Int) async throws -> [DueSettlement] {
        state.withLock { state in
            let due = state.pending.compactMap { id, rows -> DueSettlement? in
                let first = rows.filter { $0.value.checkAt <= now }.min { ($0.value.checkAt, $0.key) < ($1.value.checkAt, $1.key) }
                guard let first, let signal = state.signals[id] else { return nil }
                return DueSettlement(signalID: id, accountID: signal.accountID, checkAt: first.value.checkAt, seq: first.key)
            }
            return Array(due.sorted { ($0.checkAt, $0.signalID) < ($1.checkAt, $1.signalID) }.prefix(limit))
        }
    }

    func pendingOutcomes(_ signalID: SignalID, now: Timestamp, limit: Int) async throws -> [PendingOutcome] {
        state.withLock { state in
            let due = (state.pending[signalID] ?? [:]).filter { $0.value.checkAt <= now }
            let first = Set(due.sorted { ($0.value.checkAt, $0.key) < ($1.value.checkAt, $1.key) }.prefix(limit).map(\.key))
            let rows = (state.predictions[signalID] ?? []).filter { first.contains($0.entry.seq) }
            return rows.map { PendingOutcome(prediction: $0, giveUpAt: due[$0.entry.seq]?.giveUpAt ?? now) }
        }
    }

    func settle(_ signalID: SignalID, outcomes: [Int64: SettledOutcome], again: [Int64: Timestamp]) async throws {
        state.withLock { state in
            guard var rows = state.predictions[signalID] else { return }
            for index in rows.indices where rows[index].outcome == nil { rows[index].outcome = outcomes[rows[index].entry.seq] }
            state.predictions[signalID] = rows
            for seq in outcomes.keys { state.pending[signalID]?[seq] = nil }
            for (seq, checkAt) in again { state.pending[signalID]?[seq]?.checkAt = checkAt }
            if !outcomes.isEmpty { state.raiseRevision(signalID) }
        }
    }

    // MARK: What others said

    func apply(_ cadence: CadenceRecord, to signalID: SignalID) async throws -> Bool {
        state.withLock { state in
            guard state.signals[signalID] != nil else { return false }
            guard var known = state.cadence[signalID] else {
                state.cadence[signalID] = (cadence, lastVersion: cadence.version)
                state.raiseRevision(signalID)
                return true
            }
            let isNext = known.record.version < cadence.version
            let isLast =
                known.record.lastDueAt.map { last in
                    cadence.lastDueAt.map { (last, known.lastVersion) < ($0, cadence.version) } ?? false
                } ?? true
            guard isNext || isLast else { return false }
            if isNext {
                known.record.nextDueAt = cadence.nextDueAt
                known.record.version = cadence.version
            }
            if isLast {
                known.record.lastDueAt = cadence.lastDueAt
                known.record.lastOutcome = cadence.lastOutcome
                known.record.lastReason = cadence.lastReason
                known.lastVersion = cadence.version
            }
            state.cadence[signalID] = known
            state.raiseRevision(signalID)
            return true
        }
    }

    func cadence(_ signalID: SignalID) async throws -> CadenceRecord? { state.withLock { $0.cadence[signalID]?.record } }

    func apply(_ instrument: KnownInstrument) async throws {
        state.withLock { state in
            guard state.instruments[instrument.id].map({ $0.version < instrument.version }) ?? true else { return }
            state.instruments = state.instruments.filter { $0.value.symbol != instrument.symbol }
            state.instruments[instrument.id] = instrument
        }
    }

    func instruments(symbols: [String]) async throws -> [String: KnownInstrument] {
        let known = state.withLock { Array($0.instruments.values) }
        return Dictionary(known.filter { symbols.contains($0.symbol) }.map { ($0.symbol, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func apply(_ account: KnownAccount) async throws {
        state.withLock { state in
            guard state.accounts[account.id].map({ $0.version < account.version }) ?? true else { return }
            state.accounts[account.id] = account
        }
    }
}

extension StoredPrediction {
    var position: PredictionPosition { PredictionPosition(madeAt: entry.madeAt, signalID: statement.signalID, seq: entry.seq) }
}

extension PredictionPosition: Comparable {
    static func < (left: PredictionPosition, right: PredictionPosition) -> Bool {
        (left.madeAt, left.signalID, left.seq) < (right.madeAt, right.signalID, right.seq)
    }
}
