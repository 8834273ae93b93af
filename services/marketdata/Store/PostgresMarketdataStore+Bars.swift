import Bars
import Contracts
import Messaging
import Postgres
import ServiceRuntime

extension PostgresMarketdataStore {
    func series(of instrument: InstrumentID) async throws -> [StoredSeries] {
        try await pool.query(
            """
            SELECT interval_seconds, side, origin, first_day, last_day, first_end FROM series
            WHERE instrument_id = \(instrument) ORDER BY interval_seconds, side, origin
            """
        ).map { row in
            let (interval, side, origin, first, last, firstEnd) = try row.decode(
                Int.self,
                PriceSide.self,
                SeriesOrigin.self,
                CivilDay.self,
                CivilDay.self,
                Timestamp.self
            )
            return StoredSeries(
                key: SeriesKey(intervalSeconds: interval, side: side, origin: origin),
                firstDay: first,
                lastDay: last,
                firstEnd: firstEnd.microseconds
            )
        }
    }

    func chunkInfos(_ query: ChunkQuery) async throws -> [ChunkInfo] {
        let recordedBy = Timestamp(microseconds: min(query.recordedBy, Timestamp.distantFuture.microseconds))
        let wanted: SQL = """
            unnest(\(query.series.map { Int64($0.intervalSeconds) })::bigint[], \(query.series.map(\.side.rawValue))::text[],
                \(query.series.map(\.origin.rawValue))::text[]) AS wanted (interval_seconds, side, origin)
            """
        let found = try await pool.pipeline([
            // A correction that has its stamp but is not committed yet is waited for: seen later, it would contradict this answer. So is what a feed closes.
            Self.awaitRecording(of: query.instrumentID.description),
            Self.awaitRecording(of: query.instrumentID, on: query.days),
            // Before the chunks: what is sealed in between is seen in both, and dropped here, instead of in neither.
            """
            SELECT t.interval_seconds, t.side, t.origin, t.day, t.starts_at, t.ends_at, t.version, t.known_at, t.open::text, t.high::text, t.low::text,
                t.close::text, t.volume::text, t.trades
            FROM \(wanted)
            JOIN tail_bars t ON t.interval_seconds = wanted.interval_seconds AND t.side = wanted.side AND t.origin = wanted.origin
            WHERE t.instrument_id = \(query.instrumentID) AND t.day BETWEEN \(query.days.lowerBound) AND \(query.days.upperBound)
                AND t.known_at <= \(recordedBy)
            ORDER BY t.known_at, t.version, t.starts_at
            """,
            """
            SELECT DISTINCT ON (c.interval_seconds, c.side, c.origin, c.day)
                c.interval_seconds, c.side, c.origin, c.day, c.revision, c.edition, c.rows, c.first_end, c.last_end, c.covered_from, c.covered_to,
                c.first_known_at, c.sealed_through, coalesce(l.first_known_at > \(recordedBy), false)
            FROM \(wanted)
            JOIN chunks c ON c.interval_seconds = wanted.interval_seconds AND c.side = wanted.side AND c.origin = wanted.origin
            LEFT JOIN live_days l ON c.sealed_through IS NOT NULL AND l.instrument_id = c.instrument_id AND l.interval_seconds = c.interval_seconds
                AND l.side = c.side AND l.origin = c.origin AND l.day = c.day
            WHERE c.instrument_id = \(query.instrumentID) AND c.day BETWEEN \(query.days.lowerBound) AND \(query.days.upperBound)
                AND c.recorded_at <= \(recordedBy)
            ORDER BY c.interval_seconds, c.side, c.origin, c.day, c.revision DESC
            """,
        ])
        let (tail, rows) = (found[2], found[3])
        let instrument = query.instrumentID
        var infos: [ChunkInfo]
        if rows.count + tail.count <= 200 {
            infos = try Self.infos(rows, tail, of: instrument, recordedBy: query.recordedBy)
        } else {
            infos = try await cpu.run { try Self.infos(rows, tail, of: instrument, recordedBy: query.recordedBy) }
        }
        // History waits for no second look. Who asks for now sees no more by it than by the first one.
        guard infos.contains(where: { $0.live != nil }) else { return infos }
        let clock = try found[1].first?.column(1, as: Timestamp.self) ?? recordedBy
        guard try await isFollowed(query, wanted, recordedBy: recordedBy == .distantFuture ? clock : recordedBy) else { return infos }
        for place in infos.indices { infos[place].live?.isFollowed = true }
        return infos
    }

    private static func infos(_ rows: [PostgresRow], _ tail: [PostgresRow], of instrument: InstrumentID, recordedBy: Int64) throws -> [ChunkInfo] {
        var infos: [ChunkInfo] = []
        infos.reserveCapacity(rows.count)
        for row in rows { if let info = try chunkInfo(row, of: instrument, recordedBy: recordedBy) { infos.append(info) } }
        if tail.isEmpty { return infos }
        var places: [SeriesKey: [CivilDay: Int]] = [:]
        for (place, info) in infos.enumerated() { places[info.key.series, default: [:]][info.key.day] = place }
        for row in tail {
            let (series, day, told) = try tailRow(row)
            let place: Int
            if let known = places[series]?[day] {
                place = known
            } else {
                place = infos.count
                places[series, default: [:]][day] = place
                infos.append(
                    ChunkInfo(
                        key: ChunkKey(instrumentID: instrument, series: series, day: day, revision: 0),
                        edition: 1,
                        rows: 0,
                        firstEnd: told.end,
                        lastEnd: told.end,
                        coverage: told.start..<told.end
                    )
                )
            }
            var live = infos[place].live ?? ChunkInfo.LivePart(sealedThrough: nil, tail: [], isFollowed: false)
            if let sealed = live.sealedThrough, told.knownAt <= sealed { continue }
            live.tail.append(told)
            infos[place].live = live
            infos[place].rows += 1
            infos[place].firstEnd = min(infos[place].firstEnd, told.end)
            infos[place].lastEnd = max(infos[place].lastEnd, told.end)
        }
        return infos
    }

    /// One row of the tail, with its series and day.
    private static func tailRow(_ row: PostgresRow) throws -> (SeriesKey, CivilDay, LiveDay.Row) {
        let (interval, side, origin, day, start, end, version, knownAt) = try row.decode(
            Int.self,
            PriceSide.self,
            SeriesOrigin.self,
            CivilDay.self,
            Timestamp.self,
            Timestamp.self,
            Int.self,
            Timestamp.self
        )
        let told = LiveDay.Row(
            start: start.microseconds,
            end: end.microseconds,
            version: version,
            knownAt: knownAt.microseconds,
            prices: try tailPrices(row, from: 8)
        )
        let series = SeriesKey(intervalSeconds: interval, side: side, origin: origin)
        return (series, day, told)
    }

    /// Whether something of the wanted series was known of a later day: then nothing more can be missing of these.
    private func isFollowed(_ query: ChunkQuery, _ wanted: SQL, recordedBy: Timestamp) async throws -> Bool {
        let cut = Timestamp(microseconds: min(max(query.knownBy, Timestamp.distantPast.microseconds), Timestamp.distantFuture.microseconds))
        return try await pool.read(
            """
            SELECT EXISTS (
                SELECT FROM \(wanted)
                JOIN live_days l ON l.interval_seconds = wanted.interval_seconds AND l.side = wanted.side AND l.origin = wanted.origin
                WHERE l.instrument_id = \(query.instrumentID) AND l.day > \(query.days.upperBound) AND l.first_known_at <= \(recordedBy)
                    AND l.day::timestamp AT TIME ZONE 'UTC' < \(cut))
            OR EXISTS (
                SELECT FROM \(wanted)
                JOIN chunks f ON f.interval_seconds = wanted.interval_seconds AND f.side = wanted.side AND f.origin = wanted.origin
                WHERE f.instrument_id = \(query.instrumentID) AND f.day > \(query.days.upperBound) AND f.recorded_at <= \(recordedBy)
                    AND f.first_end <= \(cut) AND f.sealed_through IS NULL)
            """
        ).first?.column(0) ?? false
    }

    private static func chunkInfo(_ row: PostgresRow, of instrument: InstrumentID, recordedBy: Int64) throws -> ChunkInfo? {
        let (interval, side, origin, day, revision, edition, rows, firstEnd, lastEnd, from, to, firstKnownAt, sealedThrough, isBeforeFeed) =
            try row.decode(
                Int.self,
                PriceSide.self,
                SeriesOrigin.self,
                CivilDay.self,
                Int.self,
                Int.self,
                Int.self,
                Timestamp.self,
                Timestamp.self,
                Timestamp.self,
                Timestamp.self,
                Timestamp?.self,
                Timestamp?.self,
                Bool.self
            )
        // A day of which nothing was known says nothing: its being there must not change the answer.
        if let firstKnownAt, firstKnownAt.microseconds > recordedBy { return nil }
        let series = SeriesKey(intervalSeconds: interval, side: side, origin: origin)
        return ChunkInfo(
            key: ChunkKey(instrumentID: instrument, series: series, day: day, revision: revision),
            edition: edition,
            rows: rows,
            firstEnd: firstEnd.microseconds,
            lastEnd: lastEnd.microseconds,
            coverage: from.microseconds..<to.microseconds,
            live: isBeforeFeed ? nil : sealedThrough.map { ChunkInfo.LivePart(sealedThrough: $0.microseconds, tail: [], isFollowed: false) },
            isBeforeFeed: isBeforeFeed
        )
    }

    func chunks(_ keys: [ChunkKey]) async throws -> [ChunkKey: [UInt8]] {
        var found: [ChunkKey: [UInt8]] = [:]
        var at = 0
        // A few hundred days at a time: an answer is held whole in memory by the client library.
        while at < keys.count {
            let part = keys[at..<min(at + 400, keys.count)]
            at += part.count
            let rows = try await pool.query(
                """
                SELECT c.instrument_id, c.interval_seconds, c.side, c.origin, c.day, c.revision, c.bytes
                FROM unnest(\(part.map(\.instrumentID))::uuid[], \(part.map { Int64($0.series.intervalSeconds) })::bigint[],
                    \(part.map(\.series.side.rawValue))::text[], \(part.map(\.series.origin.rawValue))::text[], \(part.map(\.day))::date[],
                    \(part.map { Int64($0.revision) })::bigint[]) AS wanted (instrument_id, interval_seconds, side, origin, day, revision)
                JOIN chunks c ON c.instrument_id = wanted.instrument_id AND c.interval_seconds = wanted.interval_seconds AND c.side = wanted.side
                    AND c.origin = wanted.origin AND c.day = wanted.day AND c.revision = wanted.revision
                WHERE \(Self.months(of: part.map(\.day)))
                """
            )
            for row in rows {
                let (key, bytes) = try Self.keyedBytes(row)
                found[key] = bytes
            }
        }
        return found
    }

    /// A chunk's key in the order of its columns, and bytes of the chunk behind it.
    static func keyedBytes(_ row: PostgresRow) throws -> (ChunkKey, [UInt8]) {
        let (id, interval, side, origin, day, revision, bytes) = try row.decode(
            InstrumentID.self,
            Int.self,
            PriceSide.self,
            SeriesOrigin.self,
            CivilDay.self,
            Int.self,
            [UInt8].self
        )
        let series = SeriesKey(intervalSeconds: interval, side: side, origin: origin)
        return (ChunkKey(instrumentID: id, series: series, day: day, revision: revision), bytes)
    }

    func store(_ batch: ImportBatch) async throws -> ImportBatch.Outcome {
        // In a transaction of its own: a month's part is locked for a moment, an import may take long.
        let fine = batch.days.filter { $0.series.intervalSeconds < 3_600 }.map(\.day)
        if !fine.isEmpty { _ = try await pool.query("SELECT ensure_chunk_months(\(Array(Set(fine))))") }
        let outcome = try await pool.withTransaction { connection in
            if let mark = batch.mark { try await KeepStore.take(mark, on: connection) }
            let (found, created) = try await lockInstrument(of: batch, on: connection)
            var instrument = found
            var days = ImportOutcome.Days(refused: batch.refusedDays)
            var drafts: [ChunkDraft] = []
            // Days that a feed tells of come last, when all else is written: from then on every feed waits for this import.
            let live = try await liveDays(of: instrument.id, batch.days.map(\.day), on: connection)
            let history = batch.days.filter { !live.contains($0.day) }
            var at = 0
            while at < history.count {
                let part = Array(history[at..<min(at + 400, history.count)])
                at += part.count
                let latest = try await latestChunks(of: instrument.id, part, on: connection)
                let made = try await cpu.map(Array(part.indices)) { try ChunkDraft(part[$0], latest: latest[$0], mark: batch.mark) }.compactMap { $0 }
                drafts.append(contentsOf: made)
                days.unchanged += part.count - made.count
            }
            try await write(drafts, of: instrument.id, batch: batch, on: connection)
            if !live.isEmpty {
                let part = batch.days.filter { live.contains($0.day) }
                let made = try await liveDrafts(part, of: instrument.id, on: connection)
                try await write(made, of: instrument.id, batch: batch, on: connection)
                drafts.append(contentsOf: made)
                days.unchanged += part.count - made.count
            }
            var events: [(event: BarsRevised, subjectVersion: Int64)] = []
            for draft in drafts {
                switch draft.change {
                case .added: days.added += 1
                case .extended: days.extended += 1
                case .revised:
                    days.revised += 1
                    instrument.version += 1
                    let event = BarsRevised(
                        instrumentID: instrument.id,
                        symbol: instrument.symbol,
                        day: CivilDate(daysSince1970: Int64(draft.day.number)),
                        revision: Int64(draft.edition)
                    )
                    events.append((event, instrument.version))
                }
            }
            try await outbox.append(events, on: connection)
            instrument.baseIntervalSeconds = try BaseInterval.seconds(
                of: try await connection.query("SELECT interval_seconds, side, origin FROM series WHERE instrument_id = \(instrument.id)").map {
                    row in
                    let (interval, side, origin) = try row.decode(Int.self, PriceSide.self, SeriesOrigin.self)
                    return SeriesKey(intervalSeconds: interval, side: side, origin: origin)
                }
            )
            _ = try await connection.execute(
                """
                UPDATE instruments SET version = \(instrument.version), base_interval_seconds = \(instrument.baseIntervalSeconds)
                WHERE id = \(instrument.id)
                """
            )
            if let mark = batch.mark, let note = KeepStore.remember(mark.remembered, of: mark.rule, as: mark.sourceSymbol) {
                _ = try await connection.execute(note)
            }
            // A source is asked again and again: what changed nothing would only fill the list.
            let isWorthANote = batch.source == ImportBatch.file || !drafts.isEmpty || batch.refusedDays > 0
            let stamped = drafts.filter(\.isStamped)
            let note: SQL = """
                INSERT INTO imports (id, instrument_id, file_name, file_sha256, layout, rows, days_added, days_extended, days_revised,
                    days_unchanged, days_refused, notes, source, recorded_at)
                SELECT \(batch.id), id, \(batch.fileName), \(batch.fileSHA256), \(batch.layout), \(batch.rows), \(days.added), \(days.extended),
                    \(days.revised), \(days.unchanged), \(days.refused), \(batch.notes), \(batch.source),
                    CASE WHEN \(!stamped.isEmpty) THEN last_correction_at ELSE clock_timestamp() END
                FROM instruments WHERE id = \(instrument.id) AND \(isWorthANote)
                """
            // The last step, in one round trip before the commit: readers wait from the lock on.
            _ = try await connection.pipeline(Self.stamp(stamped, of: instrument.id) + [note])
            return ImportBatch.Outcome(instrument: instrument, createdInstrument: created, days: days)
        }
        if outcome.createdInstrument || outcome.days.revised > 0 { outbox.poke() }
        return outcome
    }

    /// The days that feeds have told something of; none begins to be one while the instrument's row is locked.
    private func liveDays(of instrument: InstrumentID, _ days: [CivilDay], on connection: PostgresConnection) async throws -> Set<CivilDay> {
        guard let first = days.min(), let last = days.max() else { return [] }
        let rows = try await connection.query(
            "SELECT DISTINCT day FROM live_days WHERE instrument_id = \(instrument) AND day BETWEEN \(first) AND \(last)"
        )
        return Set(try rows.map { try $0.column(0, as: CivilDay.self) }).intersection(days)
    }

    /// Days of a feed, with everything sealed that it has told of them: nothing is recorded between that and the stamp of the import.
    private func liveDrafts(_ days: [DayPartition.Day], of instrument: InstrumentID, on connection: PostgresConnection) async throws -> [ChunkDraft] {
        let now = try await connection.pipeline([
            Self.lockRecording(of: instrument.description),
            Self.lockRecording(of: LiveStore.subject),
            "SELECT clock_timestamp()",
        ])[2].first?.column(0, as: Timestamp.self)
        for part in try await LiveSeals.unsealed(of: instrument, on: Array(Set(days.map(\.day))), on: connection) {
            do { _ = try await LiveSeals.seal(part, cpu: cpu, on: connection) } catch let error as BarsError {
                // A stored day that cannot be read is what this import mends; its tail stays where it is, and nothing has been written.
                guard case .damagedChunk = error else { throw error }
            }
        }
        let latest = try await latestChunks(of: instrument, days, on: connection)
        let moment = now?.microseconds ?? .min
        return try await cpu.map(Array(days.indices)) { try ChunkDraft(days[$0], latest: latest[$0], liveAt: moment) }.compactMap { $0 }
    }

    /// The instrument's row, locked: imports of one instrument come one after the other.
    private func lockInstrument(of batch: ImportBatch, on connection: PostgresConnection) async throws -> (Instrument, created: Bool) {
        // Two first imports of one symbol would both find nothing to lock.
        _ = try await connection.query("SELECT pg_advisory_xact_lock(hashtextextended(\("marketdata-import:" + batch.instrument.symbol), 0))")
        let found = try await connection.query(
            """
            SELECT id, symbol, asset_class, calendar, time_zone, tick_size, lot_size, volume_unit, base_interval_seconds, feed, replay_of, active,
                version, created_at
            FROM instruments WHERE symbol = \(batch.instrument.symbol) FOR UPDATE
            """
        ).first.map(Self.instrument)
        if let found { return (found, false) }
        try await insert(batch.instrument, on: connection)
        return (batch.instrument, true)
    }

    private func latestChunks(
        of instrument: InstrumentID,
        _ days: [DayPartition.Day],
        on connection: PostgresConnection
    ) async throws -> [Int: LatestChunk] {
        let rows = try await connection.query(
            """
            SELECT DISTINCT ON (wanted.place) wanted.place, c.revision, c.edition, c.covered_from, c.covered_to, c.recorded_at, c.bytes,
                c.sealed_through
            FROM unnest(\(days.map { Int64($0.series.intervalSeconds) })::bigint[], \(days.map(\.series.side.rawValue))::text[],
                \(days.map(\.series.origin.rawValue))::text[], \(days.map(\.day))::date[])
                WITH ORDINALITY AS wanted (interval_seconds, side, origin, day, place)
            JOIN chunks c ON c.instrument_id = \(instrument) AND c.interval_seconds = wanted.interval_seconds AND c.side = wanted.side
                AND c.origin = wanted.origin AND c.day = wanted.day
            WHERE \(Self.months(of: days.map(\.day)))
            ORDER BY wanted.place, c.revision DESC
            """
        )
        var latest: [Int: LatestChunk] = [:]
        for row in rows {
            let (place, revision, edition, from, to, recordedAt, bytes, sealedThrough) = try row.decode(
                Int.self,
                Int.self,
                Int.self,
                Timestamp.self,
                Timestamp.self,
                Timestamp.self,
                [UInt8].self,
                Timestamp?.self
            )
            latest[place - 1] = LatestChunk(
                revision: revision,
                edition: edition,
                coverage: from.microseconds..<to.microseconds,
                recordedAt: recordedAt.microseconds,
                bytes: bytes,
                sealedThrough: sealedThrough?.microseconds
            )
        }
        return latest
    }

    /// Writes days with their slots, and what of their series exists; corrections are not stamped yet.
    private func write(_ drafts: [ChunkDraft], of instrument: InstrumentID, batch: ImportBatch, on connection: PostgresConnection) async throws {
        try await insert(drafts, of: instrument, batch: batch, on: connection)
        try await saveSlots(of: drafts, of: instrument, on: connection)
        try await extendSeries(of: instrument, with: drafts, on: connection)
    }

    private func insert(_ drafts: [ChunkDraft], of instrument: InstrumentID, batch: ImportBatch, on connection: PostgresConnection) async throws {
        var at = 0
        while at < drafts.count {
            let part = drafts[at..<min(at + 400, drafts.count)]
            at += part.count
            func times(_ value: (ChunkDraft) -> Int64) -> [Timestamp] { part.map { Timestamp(microseconds: value($0)) } }
            _ = try await connection.execute(
                """
                INSERT INTO chunks (instrument_id, interval_seconds, side, origin, day, revision, edition, rows, first_start, first_end, last_end,
                    covered_from, covered_to, sha256, recorded_at, import_id, source, bytes, first_known_at, sealed_through)
                SELECT \(instrument), d.interval_seconds, d.side, d.origin, d.day, d.revision, d.edition, d.rows, d.first_start, d.first_end, d.last_end,
                    d.covered_from, d.covered_to, d.sha256,
                    CASE
                        WHEN d.is_stamped THEN 'infinity'
                        ELSE coalesce(
                            (SELECT p.recorded_at FROM chunks p
                             WHERE p.instrument_id = \(instrument) AND p.interval_seconds = d.interval_seconds AND p.side = d.side
                                AND p.origin = d.origin AND p.day = d.day AND p.revision = d.revision - 1),
                            '-infinity')
                    END,
                    \(batch.id), \(batch.source), d.bytes, CASE WHEN d.sealed_through IS NOT NULL THEN '-infinity'::timestamptz END, d.sealed_through
                FROM unnest(\(part.map { Int64($0.series.intervalSeconds) })::bigint[], \(part.map(\.series.side.rawValue))::text[],
                    \(part.map(\.series.origin.rawValue))::text[], \(part.map(\.day))::date[], \(part.map { Int64($0.revision) })::bigint[],
                    \(part.map { Int64($0.edition) })::bigint[], \(part.map { Int64($0.rows) })::bigint[], \(times(\.firstStart))::timestamptz[], \(times(\.firstEnd))::timestamptz[],
                    \(times(\.lastEnd))::timestamptz[], \(times(\.coverage.lowerBound))::timestamptz[],
                    \(times(\.coverage.upperBound))::timestamptz[], \(part.map(\.sha256.bytes))::bytea[], \(part.map(\.isStamped))::boolean[],
                    \(part.map(\.bytes))::bytea[], \(part.map { $0.sealedThrough.map { Timestamp(microseconds: $0) } })::timestamptz[])
                    AS d (interval_seconds, side, origin, day, revision, edition, rows, first_start, first_end, last_end, covered_from, covered_to, sha256,
                        is_stamped, bytes, sealed_through)
                """
            )
        }
    }

    /// Gives corrections the time from which they are known, under the lock that orders stamps and commits. What a feed has told may be ahead of the server's
    /// clock, and a correction comes after all that could be read before it; what feeds tell next comes after the correction.
    private static func stamp(_ drafts: [ChunkDraft], of instrument: InstrumentID) -> [SQL] {
        if drafts.isEmpty { return [] }
        var statements: [SQL] = [
            lockRecording(of: instrument.description),
            """
            UPDATE instruments SET last_correction_at = greatest(clock_timestamp(), last_correction_at + interval '1 microsecond',
                (SELECT known_at + interval '1 microsecond' FROM live_clock))
            WHERE id = \(instrument)
            """,
            """
            UPDATE live_clock SET known_at = greatest(live_clock.known_at, i.last_correction_at)
            FROM instruments i WHERE i.id = \(instrument) AND i.last_correction_at > clock_timestamp()
            """,
        ]
        var at = 0
        while at < drafts.count {
            let part = drafts[at..<min(at + 400, drafts.count)]
            at += part.count
            statements.append(
                """
                UPDATE chunks c SET recorded_at = i.last_correction_at
                FROM instruments i,
                    unnest(\(part.map { Int64($0.series.intervalSeconds) })::bigint[], \(part.map(\.series.side.rawValue))::text[],
                    \(part.map(\.series.origin.rawValue))::text[], \(part.map(\.day))::date[], \(part.map { Int64($0.revision) })::bigint[])
                    AS d (interval_seconds, side, origin, day, revision)
                WHERE i.id = \(instrument) AND c.instrument_id = i.id AND c.interval_seconds = d.interval_seconds AND c.side = d.side
                    AND c.origin = d.origin AND c.day = d.day AND c.revision >= d.revision AND c.recorded_at = 'infinity' AND \(months(of: part.map(\.day)))
                """
            )
        }
        return statements + [KnowledgeNotice.sendCorrection(of: instrument)]
    }

    /// Between the first and the last of the days: what a join says day by day, the planner must be told, or it opens every month there is.
    private static func months(of days: [CivilDay]) -> SQL {
        let (first, last) = (days.min() ?? CivilDay(number: 0), days.max() ?? CivilDay(number: 0))
        return "c.day BETWEEN \(first) AND \(last)"
    }

    private func extendSeries(of instrument: InstrumentID, with drafts: [ChunkDraft], on connection: PostgresConnection) async throws {
        for (series, days) in Dictionary(grouping: drafts, by: \.series) {
            guard let first = days.map(\.day).min(), let last = days.map(\.day).max(), let firstEnd = days.map(\.firstEnd).min() else { continue }
            _ = try await connection.execute(
                """
                INSERT INTO series (instrument_id, interval_seconds, side, origin, first_day, last_day, first_end)
                VALUES (\(instrument), \(series.intervalSeconds), \(series.side), \(series.origin), \(first), \(last),
                    \(Timestamp(microseconds: firstEnd)))
                ON CONFLICT (instrument_id, interval_seconds, side, origin) DO UPDATE SET
                    first_day = least(series.first_day, excluded.first_day), last_day = greatest(series.last_day, excluded.last_day),
                    first_end = least(series.first_end, excluded.first_end)
                """
            )
        }
    }
}
