import Contracts
import Postgres

extension PostgresSignalsStore {
    private static let ownColumnNames = [
        "signal_id", "seq", "made_at", "job_id", "row", "version_sha256", "env_sha256", "data_sha256", "instrument", "kind", "value", "due_at",
        "as_of",
        "target_from", "target_to", "reference_price", "feed", "late", "payload", "nonce", "leaf", "link",
    ]
    private static let ownColumns = ownColumnNames.joined(separator: ", ")

    /// What is read of a prediction `p` with its outcome and the first seal that covers it.
    private static let columns = """
        \(ownColumnNames.map { "p." + $0 }.joined(separator: ", ")), \
        o.state, o.opens_at, o.open_price, o.closes_at, o.close_price, o.realised_return, o.correct, o.counts, o.reason, o.settled_at, \
        s.number, s.root, s.sealed_at
        """

    /// The LIMITs keep the server to one look into an index a row, however few or many rows it expects.
    private static let outcomesAndSeals = """
        LEFT JOIN LATERAL (
            SELECT state, opens_at, open_price, closes_at, close_price, realised_return, correct, counts, reason, settled_at
            FROM outcomes WHERE signal_id = p.signal_id AND seq = p.seq LIMIT 1
        ) o ON true
        LEFT JOIN LATERAL (
            SELECT e.number, e.root, e.sealed_at FROM seal_heads h JOIN seals e ON e.number = h.seal_number
            WHERE h.signal_id = p.signal_id AND h.seq >= p.seq ORDER BY h.seq LIMIT 1
        ) s ON true
        """

    private static let select: SQL = "SELECT \(unsafe: columns) FROM predictions p \(unsafe: outcomesAndSeals) "

    func predictions(_ queries: [PredictionQuery]) async throws -> [[StoredPrediction]] {
        guard !queries.isEmpty else { return [] }
        let rows = try await query(
            """
            SELECT \(unsafe: Self.columns), q.number
            FROM unnest(\(Array(queries.indices)), \(queries.map(\.signalID)), \(queries.map(\.afterSeq)), \(queries.map { $0.beforeSeq ?? .max }),
                \(queries.map(\.limit))) AS q (number, signal_id, after_seq, before_seq, row_limit)
            CROSS JOIN LATERAL (
                (SELECT \(unsafe: Self.ownColumns) FROM predictions
                WHERE q.after_seq IS NULL AND signal_id = q.signal_id AND seq < q.before_seq ORDER BY seq DESC LIMIT q.row_limit)
                UNION ALL
                (SELECT \(unsafe: Self.ownColumns) FROM predictions
                WHERE signal_id = q.signal_id AND seq > q.after_seq AND seq < q.before_seq ORDER BY seq LIMIT q.row_limit)
            ) p
            \(unsafe: Self.outcomesAndSeals)
            ORDER BY q.number, CASE WHEN q.after_seq IS NULL THEN -p.seq ELSE p.seq END
            """
        )
        var answers = [[StoredPrediction]](repeating: [], count: queries.count)
        for row in rows { answers[try row.column(35, as: Int.self)].append(try Self.prediction(row)) }
        return answers
    }

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

    func seqs(of signalIDs: [SignalID], at moment: Timestamp) async throws -> [SignalID: Int64] {
        let rows = try await query(
            """
            SELECT wanted.signal_id, coalesce((SELECT seq FROM predictions
                WHERE signal_id = wanted.signal_id AND made_at <= \(moment) ORDER BY made_at DESC, seq DESC LIMIT 1), 0)
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
            if !outcomes.isEmpty {
                statements.append(Self.insertion(of: outcomes, signalID))
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

    /// A prediction is settled once: who comes second changes nothing.
    private static func insertion(of outcomes: [Int64: SettledOutcome], _ signalID: SignalID) -> SQL {
        let settled = outcomes.sorted { $0.key < $1.key }
        let outcomes = settled.map(\.value)
        let realised = outcomes.map(\.realised)
        return """
            INSERT INTO outcomes (signal_id, seq, state, opens_at, open_price, closes_at, close_price, realised_return, correct, counts, reason, settled_at)
            SELECT \(signalID), found.seq, found.state, found.opens_at, found.open_price, found.closes_at, found.close_price, found.realised_return, found.correct,
                found.counts, found.reason, found.settled_at
            FROM unnest(\(settled.map(\.key)), \(realised.map(\.state.rawValue)), \(realised.map(\.opensAt)), \(realised.map { $0.openPrice?.text }),
                \(realised.map(\.closesAt)), \(realised.map { $0.closePrice?.text }), \(realised.map { $0.realisedReturn?.text }),
                \(realised.map(\.correct)), \(outcomes.map(\.counts)), \(realised.map(\.reason)), \(outcomes.map(\.settledAt)))
                AS found (seq, state, opens_at, open_price, closes_at, close_price, realised_return, correct, counts, reason, settled_at)
            ON CONFLICT (signal_id, seq) DO NOTHING
            """
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
