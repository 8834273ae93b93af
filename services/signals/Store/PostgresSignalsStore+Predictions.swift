import Contracts
import Postgres

extension PostgresSignalsStore {
    /// Predictions with their outcome and the first seal that covers them, as `p`.
    private static let select: SQL = """
        SELECT p.signal_id, p.seq, p.made_at, p.job_id, p.row, p.version_sha256, p.env_sha256, p.data_sha256, p.instrument, p.kind, p.value, p.due_at, p.as_of,
            p.target_from, p.target_to, p.reference_price, p.feed, p.late, p.payload, p.nonce, p.leaf, p.link,
            o.state, o.opens_at, o.open_price, o.closes_at, o.close_price, o.realised_return, o.correct, o.counts, o.reason, o.settled_at,
            s.number, s.root, s.sealed_at
        FROM predictions p
        LEFT JOIN outcomes o ON o.signal_id = p.signal_id AND o.seq = p.seq
        LEFT JOIN LATERAL (SELECT h.seal_number FROM seal_heads h WHERE h.signal_id = p.signal_id AND h.seq >= p.seq ORDER BY h.seq LIMIT 1) h ON true
        LEFT JOIN seals s ON s.number = h.seal_number

        """

    func predictions(_ query: PredictionQuery) async throws -> [StoredPrediction] {
        var sql = Self.select
        sql.append("WHERE p.signal_id = \(query.signalID)")
        if let afterSeq = query.afterSeq { sql.append(" AND p.seq > \(afterSeq)") }
        if let beforeSeq = query.beforeSeq { sql.append(" AND p.seq < \(beforeSeq)") }
        sql.append(query.afterSeq == nil ? " ORDER BY p.seq DESC" : " ORDER BY p.seq")
        sql.append(" LIMIT \(query.limit)")
        return try await self.query(sql).map(Self.prediction)
    }

    func predictions(of signalIDs: [SignalID], before: PredictionPosition?, limit: Int) async throws -> [StoredPrediction] {
        var sql = Self.select
        sql.append("WHERE p.signal_id = ANY (\(signalIDs))")
        if let before { sql.append(" AND (p.made_at, p.signal_id, p.seq) < (\(before.madeAt), \(before.signalID), \(before.seq))") }
        sql.append(" ORDER BY p.made_at DESC, p.signal_id DESC, p.seq DESC LIMIT \(limit)")
        return try await query(sql).map(Self.prediction)
    }

    func predictions(above seqs: [SignalID: Int64], limit: Int) async throws -> [StoredPrediction] {
        let (signalIDs, above) = (Array(seqs.keys), Array(seqs.values))
        var sql = Self.select
        sql.append(
            """
            WHERE (p.signal_id, p.seq) IN (
                SELECT n.signal_id, n.seq FROM unnest(\(signalIDs), \(above)) AS seen (signal_id, seq) CROSS JOIN LATERAL (
                    SELECT signal_id, seq, made_at FROM predictions WHERE signal_id = seen.signal_id AND seq > seen.seq ORDER BY seq LIMIT \(limit)) AS n
                ORDER BY n.made_at, n.signal_id, n.seq LIMIT \(limit))
            ORDER BY p.made_at, p.signal_id, p.seq
            """
        )
        return try await query(sql).map(Self.prediction)
    }

    func seqs(of signalIDs: [SignalID]) async throws -> [SignalID: Int64] {
        let rows = try await query("SELECT signal_id, seq FROM heads WHERE signal_id = ANY (\(signalIDs))")
        return try Dictionary(rows.map { try $0.decode(SignalID.self, Int64.self) }, uniquingKeysWith: max)
    }

    func seqs(of signalIDs: [SignalID], at moment: Timestamp) async throws -> [SignalID: Int64] {
        let rows = try await query(
            """
            SELECT wanted.signal_id, coalesce((SELECT seq FROM predictions
                WHERE signal_id = wanted.signal_id AND made_at <= \(moment) ORDER BY seq DESC LIMIT 1), 0)
            FROM unnest(\(signalIDs)) AS wanted (signal_id)
            """
        )
        return try Dictionary(rows.map { try $0.decode(SignalID.self, Int64.self) }, uniquingKeysWith: max)
    }

    func signalsToSettle(now: Timestamp, limit: Int) async throws -> [DueSettlement] {
        let rows = try await query(
            """
            SELECT s.id, s.account_id, w.check_at, w.seq FROM (
                SELECT DISTINCT ON (signal_id) signal_id, check_at, seq FROM pending_outcomes WHERE check_at <= \(now) ORDER BY signal_id, check_at, seq
            ) AS w JOIN signals s ON s.id = w.signal_id
            ORDER BY w.check_at, s.id LIMIT \(limit)
            """
        )
        return try rows.map { row in
            DueSettlement(signalID: try row.column(0), accountID: try row.column(1), checkAt: try row.column(2), seq: try row.column(3))
        }
    }

    func pendingOutcomes(_ signalID: SignalID, now: Timestamp, limit: Int) async throws -> [PendingOutcome] {
        let waiting = try await query(
            """
            SELECT seq, give_up_at FROM pending_outcomes WHERE signal_id = \(signalID) AND check_at <= \(now) ORDER BY check_at, seq LIMIT \(limit)
            """
        )
        let ends = try Dictionary(waiting.map { try $0.decode(Int64.self, Timestamp.self) }, uniquingKeysWith: { first, _ in first })
        var sql = Self.select
        sql.append("WHERE p.signal_id = \(signalID) AND p.seq = ANY (\(Array(ends.keys))) ORDER BY p.seq")
        return try await query(sql).map(Self.prediction).map { PendingOutcome(prediction: $0, giveUpAt: ends[$0.entry.seq] ?? now) }
    }

    func settle(_ signalID: SignalID, outcomes: [Int64: SettledOutcome], again: [Int64: Timestamp]) async throws {
        guard !outcomes.isEmpty || !again.isEmpty else { return }
        try await transaction { connection in
            var statements: [SQL] = []
            for (seq, outcome) in outcomes.sorted(by: { $0.key < $1.key }) {
                let realised = outcome.realised
                // A prediction is settled once: who comes second changes nothing.
                statements.append(
                    """
                    INSERT INTO outcomes (signal_id, seq, state, opens_at, open_price, closes_at, close_price, realised_return, correct, counts, reason, settled_at)
                    VALUES (\(signalID), \(seq), \(realised.state.rawValue), \(realised.opensAt), \(realised.openPrice?.text), \(realised.closesAt),
                        \(realised.closePrice?.text), \(realised.realisedReturn?.text), \(realised.correct), \(outcome.counts), \(realised.reason),
                        \(outcome.settledAt))
                    ON CONFLICT (signal_id, seq) DO NOTHING
                    """
                )
            }
            if !outcomes.isEmpty {
                statements.append("DELETE FROM pending_outcomes WHERE signal_id = \(signalID) AND seq = ANY (\(outcomes.keys.sorted()))")
                statements.append("UPDATE heads SET revision = revision + 1 WHERE signal_id = \(signalID)")
            }
            if !again.isEmpty {
                let later = again.sorted { $0.key < $1.key }
                statements.append(
                    """
                    UPDATE pending_outcomes SET check_at = later.check_at
                    FROM unnest(\(later.map(\.key)), \(later.map(\.value))) AS later (seq, check_at)
                    WHERE pending_outcomes.signal_id = \(signalID) AND pending_outcomes.seq = later.seq
                    """
                )
            }
            _ = try await connection.pipeline(statements)
        }
    }

    private static func prediction(_ row: PostgresRow) throws -> StoredPrediction {
        let kind: OutputKind = try row.word(9)
        guard let value = PredictionValue(text: try row.column(10), kind: kind) else {
            throw PostgresError(.decoding, message: "a prediction's value is no \(kind.rawValue)")
        }
        let statement = PredictionStatement(
            signalID: try row.column(0),
            versionSHA256: try row.column(5),
            envSHA256: try row.column(6),
            dataSHA256: try row.column(7),
            jobID: try row.column(3),
            row: PredictionRow(
                row: try row.column(4),
                instrument: try row.column(8),
                kind: kind,
                value: value,
                targetFrom: try row.column(13),
                targetTo: try row.column(14)
            ),
            dueAt: try row.column(11),
            asOf: try row.column(12),
            referencePrice: try row.column(15),
            feed: try row.word(16),
            late: try row.column(17)
        )
        let entry = LedgerEntry(
            seq: try row.column(1),
            madeAt: try row.column(2),
            payload: try row.column(18),
            nonce: try row.column(19),
            leaf: try row.column(20),
            link: try row.column(21)
        )
        return StoredPrediction(statement: statement, entry: entry, seal: try seal(row), outcome: try outcome(row))
    }

    private static func seal(_ row: PostgresRow) throws -> SealReference? {
        guard let number: Int64 = try row.column(32) else { return nil }
        return SealReference(number: number, root: try row.column(33), sealedAt: try row.column(34))
    }

    private static func outcome(_ row: PostgresRow) throws -> SettledOutcome? {
        guard let state: RealisedOutcome.State = try row.optionalWord(22) else { return nil }
        let realised = RealisedOutcome(
            state: state,
            opensAt: try row.column(23),
            openPrice: try row.column(24),
            closesAt: try row.column(25),
            closePrice: try row.column(26),
            realisedReturn: try row.column(27),
            correct: try row.column(28),
            reason: try row.column(30)
        )
        return SettledOutcome(realised: realised, counts: try row.column(29), settledAt: try row.column(31))
    }
}
