import Bars
import Contracts
import Postgres

extension PostgresMarketdataStore {
    func calendars(after name: String?, limit: Int) async throws -> [ExchangeCalendar] {
        try await pool.query(
            "SELECT definition FROM calendars WHERE name COLLATE \"C\" > \(name ?? "") ORDER BY name COLLATE \"C\" LIMIT \(limit)"
        ).map { try $0.column(0, as: PostgresJSON.self).decode(ExchangeCalendar.self) }
    }

    func datasets(_ query: DatasetQuery) async throws -> [StoredDataset] {
        let after = query.after
        let classes = query.assetClass?.storedWords
        return try await pool.query(
            """
            SELECT i.id, i.symbol, i.asset_class, i.calendar, i.time_zone, i.tick_size, i.lot_size, i.volume_unit, i.base_interval_seconds, i.feed,
                i.replay_of, i.active, i.version, i.created_at, page.interval_seconds, page.side, page.origin, page.first_day, page.last_day,
                total.days, total.rows, total.bytes, total.first_start, total.last_end
            FROM (
                SELECT s.*, i.symbol COLLATE "C" AS symbol FROM series s JOIN instruments i ON i.id = s.instrument_id
                WHERE (i.symbol COLLATE "C", s.interval_seconds, s.side COLLATE "C", s.origin COLLATE "C")
                    > (\(after?.symbol ?? ""), \(after?.series.intervalSeconds ?? 0)::integer, \(after?.series.side.rawValue ?? ""),
                        \(after?.series.origin.rawValue ?? ""))
                    AND (\(query.containing)::text IS NULL OR position(\(query.containing)::text IN i.symbol) > 0)
                    AND (\(classes)::text[] IS NULL OR i.asset_class = ANY (\(classes)::text[]))
                ORDER BY i.symbol COLLATE "C", s.interval_seconds, s.side COLLATE "C", s.origin COLLATE "C" LIMIT \(query.limit)
            ) page
            JOIN instruments i ON i.id = page.instrument_id
            CROSS JOIN LATERAL (
                SELECT count(DISTINCT day) AS days, sum(rows)::bigint AS rows, sum(bytes)::bigint AS bytes, min(first_start) AS first_start,
                    max(last_end) AS last_end
                FROM (
                    (SELECT DISTINCT ON (day) day, rows, octet_length(bytes) AS bytes, first_start, last_end FROM chunks c
                    WHERE c.instrument_id = page.instrument_id AND c.interval_seconds = page.interval_seconds AND c.side = page.side
                        AND c.origin = page.origin
                    ORDER BY day, revision DESC)
                    UNION ALL
                    SELECT day, count(*), 0, min(starts_at), max(ends_at) FROM tail_bars t
                    WHERE t.instrument_id = page.instrument_id AND t.interval_seconds = page.interval_seconds AND t.side = page.side
                        AND t.origin = page.origin
                    GROUP BY day
                ) latest
            ) total
            ORDER BY page.symbol, page.interval_seconds, page.side COLLATE "C", page.origin COLLATE "C"
            """
        ).compactMap { row in
            guard let first = try row.column(22, as: Timestamp?.self), let last = try row.column(23, as: Timestamp?.self) else { return nil }
            return StoredDataset(
                instrument: try Self.instrument(row),
                series: SeriesKey(intervalSeconds: try row.column(14), side: try row.column(15), origin: try row.column(16)),
                firstDay: try row.column(17),
                lastDay: try row.column(18),
                days: try row.column(19),
                rows: try row.column(20),
                bytes: try row.column(21),
                firstStart: first.microseconds,
                lastEnd: last.microseconds
            )
        }
    }

    func liveDays(of instrument: InstrumentID, _ series: SeriesKey) async throws -> [CivilDay] {
        try await pool.query(
            """
            SELECT day FROM live_days
            WHERE instrument_id = \(instrument) AND interval_seconds = \(series.intervalSeconds) AND side = \(series.side) AND origin = \(series.origin)
                AND isfinite(first_known_at)
            ORDER BY day
            """
        ).map { try $0.column(0) }
    }

    func datasetDays(
        of instrument: InstrumentID,
        _ series: SeriesKey,
        days: ClosedRange<CivilDay>?,
        recordedBy: Int64,
        knownBy: Int64
    ) async throws -> [DatasetDay] {
        func moment(_ microseconds: Int64) -> Timestamp {
            Timestamp(microseconds: min(max(microseconds, Timestamp.distantPast.microseconds), Timestamp.distantFuture.microseconds))
        }
        let all = CivilDay(year: 1, month: 1, day: 1)...CivilDay(year: 9999, month: 12, day: 31)
        let stretch = days ?? all
        // A correction that has its stamp but is not committed yet is waited for, as for bars.
        let rows = try await pool.pipeline([
            Self.awaitRecording(of: instrument.description),
            """
            SELECT DISTINCT ON (day) day, revision, edition + live_editions, rows, octet_length(bytes), first_start, first_end, last_end FROM chunks
            WHERE instrument_id = \(instrument) AND interval_seconds = \(series.intervalSeconds) AND side = \(series.side)
                AND origin = \(series.origin) AND day BETWEEN \(stretch.lowerBound) AND \(stretch.upperBound) AND recorded_at <= \(moment(recordedBy))
            ORDER BY day, revision DESC
            """,
        ])[1]
        return try rows.compactMap { row in
            guard try row.column(6, as: Timestamp.self).microseconds <= knownBy else { return nil }
            return DatasetDay(
                day: try row.column(0),
                revision: try row.column(1),
                edition: try row.column(2),
                rows: try row.column(3),
                bytes: try row.column(4),
                firstStart: try row.column(5, as: Timestamp.self).microseconds,
                lastEnd: try row.column(7, as: Timestamp.self).microseconds
            )
        }
    }

    func slots(of keys: [ChunkKey]) async throws -> [ChunkKey: [UInt8]] {
        var found: [ChunkKey: [UInt8]] = [:]
        let rows = try await pool.query(
            """
            SELECT c.instrument_id, c.interval_seconds, c.side, c.origin, c.day, c.revision, c.slots
            FROM unnest(\(keys.map(\.instrumentID))::uuid[], \(keys.map { Int64($0.series.intervalSeconds) })::bigint[],
                \(keys.map(\.series.side.rawValue))::text[], \(keys.map(\.series.origin.rawValue))::text[], \(keys.map(\.day))::date[],
                \(keys.map { Int64($0.revision) })::bigint[]) AS wanted (instrument_id, interval_seconds, side, origin, day, revision)
            JOIN chunk_slots c USING (instrument_id, interval_seconds, side, origin, day, revision)
            """
        )
        for row in rows {
            let (key, slots) = try Self.keyedBytes(row)
            found[key] = slots
        }
        return found
    }

    func save(_ slots: [ChunkKey: [UInt8]]) async throws {
        if slots.isEmpty { return }
        _ = try await pool.execute(Self.insertion(Array(slots)))
    }

    /// Remembers the slots of days that are being written.
    func saveSlots(of drafts: [ChunkDraft], of instrument: InstrumentID, on connection: PostgresConnection) async throws {
        var at = 0
        while at < drafts.count {
            let part = drafts[at..<min(at + 400, drafts.count)]
            at += part.count
            let entries = part.map { draft in
                (key: ChunkKey(instrumentID: instrument, series: draft.series, day: draft.day, revision: draft.revision), value: draft.slots)
            }
            _ = try await connection.execute(Self.insertion(entries))
        }
    }

    private static func insertion(_ entries: [(key: ChunkKey, value: [UInt8])]) -> SQL {
        """
        INSERT INTO chunk_slots (instrument_id, interval_seconds, side, origin, day, revision, slots)
        SELECT * FROM unnest(\(entries.map(\.key.instrumentID))::uuid[], \(entries.map { Int64($0.key.series.intervalSeconds) })::bigint[],
            \(entries.map(\.key.series.side.rawValue))::text[], \(entries.map(\.key.series.origin.rawValue))::text[],
            \(entries.map(\.key.day))::date[], \(entries.map { Int64($0.key.revision) })::bigint[], \(entries.map(\.value))::bytea[])
        ON CONFLICT (instrument_id, interval_seconds, side, origin, day, revision) DO UPDATE SET slots = excluded.slots
        """
    }
}
