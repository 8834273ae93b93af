import Contracts
import Cryptography
import Postgres
import ServiceRuntime

extension PostgresSignalsStore {
    /// Some ten microseconds a row: more than these would keep a loop for longer than a millisecond.
    private static let maximumRowsOnLoop = 50
    /// As many may wait as there are appends under way; each of them holds a connection.
    private static let hashing = CPULane(name: "ledger_hashing", maximumConcurrent: CPULane.processors, maximumQueued: 4_096)

    func append(_ run: CompletedRun) async throws -> AppendOutcome {
        try await transaction { connection in
            // Both travel together; the second statement runs when the first has the lock: it reads the clock then, and sees a run of the same job that
            // was recorded by who had the lock before.
            let answers = try await connection.pipeline([
                "SELECT seq, link, made_at FROM heads WHERE signal_id = \(run.signalID) FOR UPDATE",
                """
                SELECT clock_timestamp(), known.job_id IS NOT NULL, known.first_seq, known.last_seq, known.late
                FROM (SELECT) AS always LEFT JOIN runs AS known ON known.job_id = \(run.jobID)
                """,
            ])
            guard let head = answers[0].first, let present = answers[1].first else { throw SignalsStoreError.unknownSignal }
            let (seq, link, lastMadeAt) = try head.decode(Int64.self, SHA256Digest.self, Timestamp?.self)
            let madeAt = MadeAt.next(clock: try present.column(0), last: lastMadeAt)
            if let known = try Self.recordedRun(present, link: link, madeAt: madeAt) { return known }

            let rows = try await chained(run, after: link, seq: seq, madeAt: madeAt)
            let outcome = AppendOutcome(
                isNew: true,
                firstSeq: seq + 1,
                lastSeq: seq + Int64(rows.count),
                head: rows.last?.entry.link ?? link,
                madeAt: rows.last?.entry.madeAt ?? madeAt,
                late: rows.contains { $0.statement.late }
            )
            let recorded = RunRecorded(run, outcome)
            _ = try await connection.pipeline(Self.insertion(of: run, rows: rows, outcome) + [news(recorded, outcome)])
            if let trouble = Trouble(recorded, dueAt: run.dueAt) { try await IncidentStore.note(trouble, on: connection) }
            return outcome
        }
    }

    /// The rows of a long run are written out and hashed off the loop, which has others to serve meanwhile.
    private func chained(_ run: CompletedRun, after link: SHA256Digest, seq: Int64, madeAt: Timestamp) async throws -> [StoredPrediction] {
        guard run.rows.count > Self.maximumRowsOnLoop, let cpu else { return run.chained(after: link, seq: seq, madeAt: madeAt) }
        return try await cpu.run(lane: Self.hashing) { run.chained(after: link, seq: seq, madeAt: madeAt) }
    }

    /// A run that is in the ledger already: a job has one.
    private static func recordedRun(_ row: PostgresRow, link: SHA256Digest, madeAt: Timestamp) throws -> AppendOutcome? {
        guard try row.column(1) else { return nil }
        let (first, last): (Int64?, Int64?) = (try row.column(2), try row.column(3))
        return AppendOutcome(isNew: false, firstSeq: first ?? 0, lastSeq: last ?? 0, head: link, madeAt: madeAt, late: try row.column(4))
    }

    private static func insertion(of run: CompletedRun, rows: [StoredPrediction], _ outcome: AppendOutcome) -> [SQL] {
        var statements: [SQL] = [
            """
            INSERT INTO runs (job_id, signal_id, version_id, occurrence_id, attempt_id, outcome, reported_rows, first_seq, last_seq, late, due_at, ended_at)
            VALUES (\(run.jobID), \(run.signalID), \(run.versionID), \(run.occurrenceID), \(run.attemptID), 'recorded', \(rows.count),
                \(outcome.firstSeq), \(outcome.lastSeq), \(outcome.late), \(run.dueAt), \(outcome.madeAt))
            """
        ]
        if !rows.isEmpty {
            statements.append(insertion(of: rows, from: run))
            statements.append(waiting(for: rows, of: run.signalID))
            statements.append(
                """
                UPDATE heads SET seq = \(outcome.lastSeq), link = \(outcome.head), made_at = \(outcome.madeAt), revision = revision + 1
                WHERE signal_id = \(run.signalID)
                """
            )
        }
        return statements
    }

    /// All rows of a run in one statement: what differs from row to row comes as arrays, what a run has once stands beside them.
    private static func insertion(of rows: [StoredPrediction], from run: CompletedRun) -> SQL {
        let statements = rows.map(\.statement)
        let predicted = statements.map(\.row)
        let entries = rows.map(\.entry)
        return """
            INSERT INTO predictions (signal_id, seq, made_at, job_id, row, version_sha256, env_sha256, data_sha256, instrument, kind, value, due_at, as_of,
                target_from, target_to, reference_price, feed, late, payload, nonce, leaf, link)
            SELECT \(run.signalID), added.seq, added.made_at, \(run.jobID), added.row, \(run.versionSHA256), \(run.envSHA256), \(run.dataSHA256),
                added.instrument, added.kind, added.value, \(run.dueAt), \(run.asOf), added.target_from, added.target_to, added.reference_price,
                \(run.feed.rawValue), added.late, added.payload, added.nonce, added.leaf, added.link
            FROM unnest(\(entries.map(\.seq)), \(entries.map(\.madeAt)), \(predicted.map(\.row)), \(predicted.map(\.instrument)),
                \(predicted.map(\.kind.rawValue)), \(predicted.map(\.value.text)), \(predicted.map(\.targetFrom)), \(predicted.map(\.targetTo)),
                \(statements.map { $0.referencePrice?.text }), \(statements.map(\.late)), \(entries.map(\.payload)), \(entries.map(\.nonce)),
                \(entries.map(\.leaf)), \(entries.map(\.link)))
                AS added (seq, made_at, row, instrument, kind, value, target_from, target_to, reference_price, late, payload, nonce, leaf, link)
            """
    }

    private static func waiting(for rows: [StoredPrediction], of signalID: SignalID) -> SQL {
        let waits = rows.map { Settlement.waiting(for: $0.statement, madeAt: $0.entry.madeAt) }
        return """
            INSERT INTO pending_outcomes (signal_id, seq, check_at, give_up_at)
            SELECT \(signalID), wait.seq, wait.check_at, wait.give_up_at
            FROM unnest(\(rows.map(\.entry.seq)), \(waits.map(\.checkAt)), \(waits.map(\.giveUpAt))) AS wait (seq, check_at, give_up_at)
            """
    }

    private func news(_ recorded: RunRecorded, _ outcome: AppendOutcome) throws -> SQL {
        guard recorded.rows > 0 else { return try saying([(recorded, 1)]) }
        let predictions = PredictionRecorded(
            signalID: recorded.signalID,
            firstSeq: outcome.firstSeq,
            lastSeq: outcome.lastSeq,
            headLink: outcome.head,
            madeAt: outcome.madeAt
        )
        return try saying([(recorded, 1), (predictions, outcome.lastSeq)])
    }

    func record(_ run: EndedRun, now: Timestamp) async throws -> Bool {
        try await transaction { connection in
            let inserted = try await connection.execute(
                """
                INSERT INTO runs (job_id, signal_id, version_id, occurrence_id, attempt_id, outcome, reported_rows, bad_row, reason, due_at, ended_at)
                SELECT \(run.jobID), id, \(run.versionID), \(run.occurrenceID), \(run.attemptID), \(run.outcome.rawValue), \(run.reportedRows), \(run.badRow),
                    \(run.reason), \(run.dueAt), \(now)
                FROM signals WHERE id = \(run.signalID) ON CONFLICT (job_id) DO NOTHING
                """
            )
            guard inserted == 1 else { return false }
            if run.outcome == .rejected {
                let rejected = RunRejected(
                    jobID: run.jobID,
                    signalID: run.signalID,
                    occurrenceID: run.occurrenceID,
                    row: run.badRow,
                    reason: run.reason
                )
                try await say(rejected, version: 1, on: connection)
                try await IncidentStore.note(Trouble(rejected, dueAt: run.dueAt ?? now), on: connection)
            }
            return true
        }
    }

    func head(_ signalID: SignalID) async throws -> SignalHead? {
        try await query("SELECT seq, link, made_at, sealed_seq, revision FROM heads WHERE signal_id = \(signalID)").first.map { row in
            try Self.head(row, of: signalID, from: 0)
        }
    }

    /// Reads the five columns of a head that begin at `first`.
    static func head(_ row: PostgresRow, of signalID: SignalID, from first: Int) throws -> SignalHead {
        SignalHead(
            signalID: signalID,
            seq: try row.column(first),
            link: try row.column(first + 1),
            madeAt: try row.column(first + 2),
            sealedSeq: try row.column(first + 3),
            revision: try row.column(first + 4)
        )
    }

    func revisions(_ signalIDs: [SignalID]) async throws -> [SignalID: Int64] {
        let rows = try await query("SELECT signal_id, revision FROM heads WHERE signal_id = ANY (\(signalIDs))")
        return try Dictionary(rows.map { try $0.decode(SignalID.self, Int64.self) }, uniquingKeysWith: { first, _ in first })
    }

    func ledgerEpoch() async throws -> Int64 {
        try await query("SELECT coalesce(max(epoch), 1) FROM ledger_epochs").first?.column(0) ?? 1
    }
}

extension RunRecorded {
    fileprivate init(_ run: CompletedRun, _ outcome: AppendOutcome) {
        self.init(
            jobID: run.jobID,
            signalID: run.signalID,
            occurrenceID: run.occurrenceID,
            firstSeq: outcome.firstSeq,
            lastSeq: outcome.lastSeq,
            rows: run.rows.count,
            late: outcome.late,
            recordedAt: outcome.madeAt
        )
    }
}

extension CompletedRun {
    /// The rows as they stand behind the end of the chain, each a microsecond after the one before.
    func chained(after link: SHA256Digest, seq: Int64, madeAt: Timestamp) -> [StoredPrediction] {
        var previous = link
        var next = seq
        var madeAt = madeAt
        return rows.map { row in
            next += 1
            let statement = statement(row, madeAt: madeAt)
            let entry = LedgerEntry.appended(
                payload: statement.payload,
                nonce: RandomToken.bytes(16),
                signalID: signalID,
                seq: next,
                madeAt: madeAt,
                after: previous
            )
            previous = entry.link
            madeAt = MadeAt.next(clock: madeAt, last: madeAt)
            return StoredPrediction(statement: statement, entry: entry)
        }
    }
}
