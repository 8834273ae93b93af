import Bars
import Contracts
import Cryptography
import FoundationEssentials
import Messaging
import Postgres

extension PostgresMarketdataStore {
    // MARK: Actions

    func actions(of instrument: InstrumentID, recordedBy: Int64) async throws -> [CorporateAction] {
        let moment = Timestamp(microseconds: min(recordedBy, Timestamp.distantFuture.microseconds))
        // A correction that has its stamp but is not committed yet is waited for, as one of bars is.
        return try await pool.pipeline([
            Self.awaitRecording(of: instrument.description), Self.latestActions(of: instrument, recordedBy: moment),
        ])[1].map(Self.action).filter { $0.ratio != .none }
    }

    private static func latestActions(of instrument: InstrumentID, recordedBy moment: Timestamp) -> SQL {
        """
        SELECT DISTINCT ON (day) day, revision, split_numerator, split_denominator, price_trillionths, reference_price,
            CASE WHEN isfinite(recorded_at) THEN recorded_at END
        FROM corporate_actions WHERE instrument_id = \(instrument) AND recorded_at <= \(moment)
        ORDER BY day, revision DESC
        """
    }

    private static func action(_ row: PostgresRow) throws -> CorporateAction {
        let (day, revision, numerator, denominator, price, reference, recordedAt) = try row.decode(
            CivilDay.self,
            Int.self,
            Int64.self,
            Int64.self,
            Int64.self,
            DecimalText?.self,
            Timestamp?.self
        )
        return CorporateAction(
            day: day,
            ratio: AdjustmentRatio(splitNumerator: numerator, splitDenominator: denominator, priceTrillionths: price),
            referencePrice: reference,
            revision: revision,
            recordedAt: recordedAt
        )
    }

    func store(_ batch: ActionBatch) async throws -> CorporateOutcome {
        let outcome = try await pool.withTransaction { connection in
            let (instrument, created) = try await lock(batch.instrument, on: connection)
            let stored = try await connection.query(Self.latestActions(of: instrument.id, recordedBy: .distantFuture)).map(Self.action)
            let merged = ActionMerge.merge(stored: stored, file: batch.file)
            let corrections = merged.drafts.filter(\.isCorrection)
            let additions = merged.drafts.filter { !$0.isCorrection }
            let days = ImportOutcome.Days(
                added: stored.isEmpty ? additions.count : 0,
                extended: stored.isEmpty ? 0 : additions.count,
                revised: corrections.count,
                unchanged: merged.unchanged
            )
            _ = try await connection.execute(Self.insert(additions, of: instrument.id, import: batch.id, isCorrection: false))
            var last: [SQL] = []
            if !corrections.isEmpty {
                // The stamp comes last, under the lock that orders stamps and commits.
                last = [
                    Self.lockRecording(of: instrument.id.description),
                    """
                    UPDATE instruments SET last_correction_at = greatest(clock_timestamp(), last_correction_at + interval '1 microsecond')
                    WHERE id = \(instrument.id)
                    """, Self.insert(corrections, of: instrument.id, import: batch.id, isCorrection: true),
                ]
            }
            last.append(
                Self.note(
                    batch.id,
                    of: instrument.id,
                    file: batch.fileName,
                    batch.fileSHA256,
                    layout: .leanFactors,
                    rows: batch.rows,
                    days
                )
            )
            _ = try await connection.pipeline(last)
            return CorporateOutcome(instrument: instrument, createdInstrument: created, days: days)
        }
        if outcome.createdInstrument { outbox.poke() }
        return outcome
    }

    private static func insert(_ drafts: [ActionMerge.Draft], of instrument: InstrumentID, import id: UUID, isCorrection: Bool) -> SQL {
        """
        INSERT INTO corporate_actions (instrument_id, day, revision, split_numerator, split_denominator, price_trillionths, reference_price,
            recorded_at, import_id)
        SELECT i.id, d.day, d.revision, d.numerator, d.denominator, d.price, nullif(d.reference, '')::numeric,
            CASE WHEN \(isCorrection) THEN i.last_correction_at ELSE '-infinity' END, \(id)
        FROM instruments i,
            unnest(\(drafts.map(\.day))::date[], \(drafts.map { Int64($0.revision) })::bigint[], \(drafts.map(\.ratio.splitNumerator))::bigint[],
                \(drafts.map(\.ratio.splitDenominator))::bigint[], \(drafts.map(\.ratio.priceTrillionths))::bigint[],
                \(drafts.map { $0.referencePrice?.text ?? "" })::text[])
                AS d (day, revision, numerator, denominator, price, reference)
        WHERE i.id = \(instrument)
        """
    }

    private static func note(
        _ id: UUID,
        of instrument: InstrumentID,
        file: String,
        _ digest: SHA256Digest,
        layout: ImportLayout,
        rows: Int,
        _ days: ImportOutcome.Days
    ) -> SQL {
        """
        INSERT INTO imports (id, instrument_id, file_name, file_sha256, layout, rows, days_added, days_extended, days_revised, days_unchanged,
            days_refused, notes, recorded_at)
        VALUES (\(id), \(instrument), \(file), \(digest), \(layout.rawValue), \(rows), \(days.added), \(days.extended), \(days.revised),
            \(days.unchanged), 0, '{}', clock_timestamp())
        """
    }

    /// The instrument's row, locked or made, as imports of bars do.
    private func lock(_ wanted: Instrument, on connection: PostgresConnection) async throws -> (Instrument, created: Bool) {
        _ = try await connection.query("SELECT pg_advisory_xact_lock(hashtextextended(\("marketdata-import:" + wanted.symbol), 0))")
        let found = try await connection.query(
            """
            SELECT id, symbol, asset_class, calendar, time_zone, tick_size, lot_size, volume_unit, base_interval_seconds, feed, replay_of, active,
                version, created_at
            FROM instruments WHERE symbol = \(wanted.symbol) FOR UPDATE
            """
        ).first.map(Self.instrument)
        if let found { return (found, false) }
        try await insert(wanted, on: connection)
        return (wanted, true)
    }

    // MARK: Names

    func names(of instrument: InstrumentID) async throws -> [InstrumentName] {
        try await pool.query(
            "SELECT ticker, first_day, last_day, exchange FROM instrument_names WHERE instrument_id = \(instrument) ORDER BY first_day"
        ).map { try Self.name($0, from: 0) }
    }

    func holders(of ticker: String) async throws -> [NameHolder] {
        try await pool.query(
            """
            SELECT i.id, i.symbol, i.time_zone, n.ticker, n.first_day, n.last_day, n.exchange
            FROM instrument_names n JOIN instruments i ON i.id = n.instrument_id WHERE n.ticker = \(ticker) ORDER BY n.first_day
            """
        ).map { row in
            NameHolder(
                instrumentID: try row.column(0),
                symbol: try row.column(1),
                timeZone: try row.column(2),
                name: try Self.name(row, from: 3)
            )
        }
    }

    private static func name(_ row: PostgresRow, from column: Int) throws -> InstrumentName {
        InstrumentName(
            ticker: try row.column(column),
            firstDay: try row.column(column + 1),
            lastDay: try row.column(column + 2),
            exchange: try row.column(column + 3)
        )
    }

    func store(_ batch: NameBatch) async throws -> CorporateOutcome {
        guard let first = batch.names.first else { throw ImportError.emptyFile }
        let outcome = try await pool.withTransaction { connection in
            // Names pass from one to another: files of names come one after the other.
            _ = try await connection.query("SELECT pg_advisory_xact_lock(hashtextextended('marketdata-names', 0))")
            _ = try await connection.query("SELECT pg_advisory_xact_lock(hashtextextended(\("marketdata-import:" + batch.instrument.symbol), 0))")
            var found: [(instrument: Instrument, names: [InstrumentName])] = []
            let rows = try await connection.query(
                """
                SELECT id, symbol, asset_class, calendar, time_zone, tick_size, lot_size, volume_unit, base_interval_seconds, feed, replay_of, active,
                    version, created_at
                FROM instruments WHERE symbol = \(batch.instrument.symbol)
                    OR id IN (SELECT instrument_id FROM instrument_names WHERE ticker = \(first.ticker) AND first_day = \(first.firstDay))
                ORDER BY id FOR UPDATE
                """
            )
            for row in rows {
                let instrument = try Self.instrument(row)
                let names = try await connection.query(
                    "SELECT ticker, first_day, last_day, exchange FROM instrument_names WHERE instrument_id = \(instrument.id) ORDER BY first_day"
                ).map { try Self.name($0, from: 0) }
                found.append((instrument, names))
            }
            let known = try NameMatch.find(symbol: batch.instrument.symbol, first: first, among: found)
            var instrument = known ?? batch.instrument
            var former: String?
            if known == nil {
                try await insert(instrument, on: connection)
            } else if instrument.symbol != batch.instrument.symbol {
                former = instrument.symbol
                instrument.symbol = batch.instrument.symbol
                instrument.version += 1
                _ = try await connection.execute(
                    "UPDATE instruments SET symbol = \(instrument.symbol), version = \(instrument.version) WHERE id = \(instrument.id)"
                )
                try await announce(instrument, on: connection)
            }
            let before = found.first { $0.instrument.id == instrument.id }?.names ?? []
            var days = ImportOutcome.Days(unchanged: batch.names.count)
            if before != batch.names {
                days = before.isEmpty ? ImportOutcome.Days(added: batch.names.count) : ImportOutcome.Days(revised: batch.names.count)
                _ = try await connection.execute("DELETE FROM instrument_names WHERE instrument_id = \(instrument.id)")
                _ = try await connection.execute(
                    """
                    INSERT INTO instrument_names (instrument_id, ticker, first_day, last_day, exchange)
                    SELECT \(instrument.id), n.ticker, n.first_day, n.last_day, nullif(n.exchange, '')
                    FROM unnest(\(batch.names.map(\.ticker))::text[], \(batch.names.map(\.firstDay))::date[], \(batch.names.map(\.lastDay))::date[],
                        \(batch.names.map { $0.exchange ?? "" })::text[]) AS n (ticker, first_day, last_day, exchange)
                    """
                )
            }
            _ = try await connection.execute(
                Self.note(batch.id, of: instrument.id, file: batch.fileName, batch.fileSHA256, layout: .leanMap, rows: batch.rows, days)
            )
            return CorporateOutcome(instrument: instrument, createdInstrument: known == nil, days: days, formerSymbol: former)
        }
        if outcome.createdInstrument || outcome.formerSymbol != nil { outbox.poke() }
        return outcome
    }

    func description(of symbol: String, on date: NameDate, strictly: Bool) async throws -> InstrumentDescription? {
        var (day, moment): (CivilDay?, Timestamp?)
        switch date {
        case .day(let one): day = one
        case .moment(let one): moment = one
        }
        // The service's most frequent question, and of nearly every symbol no file says that anybody bore it: then there is nothing to choose.
        let rows = try await pool.read(
            """
            SELECT i.id, i.symbol, i.asset_class, i.calendar, i.time_zone, i.tick_size, i.lot_size, i.volume_unit, i.base_interval_seconds, i.feed,
                i.replay_of, i.active, i.version, i.created_at, s.interval_seconds, s.side, s.origin, s.first_day, s.last_day, s.first_end,
                EXISTS (SELECT FROM instrument_names n WHERE n.ticker = i.symbol)
            FROM instruments i LEFT JOIN series s ON s.instrument_id = coalesce(i.replay_of, i.id)
            WHERE i.symbol = \(symbol) ORDER BY s.interval_seconds, s.side, s.origin
            """
        )
        if let first = rows.first, try !first.column(20, as: Bool.self) { return try Self.description(rows) }
        // The order of the ranks is that of `NameRank`.
        return try Self.description(
            try await pool.read(
                """
                WITH meant AS (
                    SELECT c.id FROM (
                        SELECT n.instrument_id AS id, n.first_day,
                            CASE WHEN n.last_day >= coalesce(\(day)::date, (\(moment)::timestamptz AT TIME ZONE i.time_zone)::date) THEN 0 ELSE 2 END AS rank
                        FROM instrument_names n JOIN instruments i ON i.id = n.instrument_id
                        WHERE n.ticker = \(symbol) AND n.first_day <= coalesce(\(day)::date, (\(moment)::timestamptz AT TIME ZONE i.time_zone)::date)
                        UNION ALL
                        SELECT i.id, DATE '0001-01-01',
                            CASE WHEN EXISTS (SELECT FROM instrument_names n WHERE n.instrument_id = i.id AND n.ticker = \(symbol)) THEN 3 ELSE 1 END
                        FROM instruments i WHERE i.symbol = \(symbol)
                    ) AS c (id, first_day, rank)
                    WHERE NOT \(strictly) OR c.rank < 2
                    ORDER BY c.rank, c.first_day DESC LIMIT 1
                )
                SELECT i.id, i.symbol, i.asset_class, i.calendar, i.time_zone, i.tick_size, i.lot_size, i.volume_unit, i.base_interval_seconds, i.feed,
                    i.replay_of, i.active, i.version, i.created_at, s.interval_seconds, s.side, s.origin, s.first_day, s.last_day, s.first_end
                FROM meant JOIN instruments i ON i.id = meant.id LEFT JOIN series s ON s.instrument_id = coalesce(i.replay_of, i.id)
                ORDER BY s.interval_seconds, s.side, s.origin
                """
            )
        )
    }

    // MARK: Findings

    func note(_ findings: [RowFinding], of instrument: InstrumentID, fileName: String, fileSHA256: SHA256Digest) async throws {
        let findings = findings.prefix(10_000)
        if findings.isEmpty { return }
        _ = try await pool.execute(
            """
            INSERT INTO import_findings (instrument_id, day, kind, file_sha256, file_name, rows, first_line, recorded_at)
            SELECT \(instrument), f.day, f.kind, \(fileSHA256), \(fileName), f.rows, f.first_line, clock_timestamp()
            FROM unnest(\(findings.map(\.day))::date[], \(findings.map(\.kind.rawValue))::text[], \(findings.map { Int64($0.rows) })::bigint[],
                \(findings.map { Int64($0.firstLine) })::bigint[]) AS f (day, kind, rows, first_line)
            ON CONFLICT (instrument_id, day, kind, file_sha256) DO NOTHING
            """
        )
    }

    func findings(of instrument: InstrumentID, days: ClosedRange<CivilDay>, limit: Int) async throws -> [ImportFinding] {
        try await pool.query(
            """
            SELECT day, kind, rows, first_line, file_name, recorded_at FROM import_findings
            WHERE instrument_id = \(instrument) AND day BETWEEN \(days.lowerBound) AND \(days.upperBound)
            ORDER BY day, kind, recorded_at, file_sha256 LIMIT \(limit)
            """
        ).map { row in
            let (day, kind, rows, line, name, recordedAt) = try row.decode(
                CivilDay.self,
                String.self,
                Int.self,
                Int.self,
                String.self,
                Timestamp.self
            )
            return ImportFinding(
                finding: RowFinding(kind: RowFinding.Kind(rawValue: kind) ?? .refused, day: day, rows: rows, firstLine: line),
                fileName: name,
                recordedAt: recordedAt
            )
        }
    }
}
