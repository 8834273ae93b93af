import Bars
import Contracts
import Cryptography
import FoundationEssentials
import Postgres
import ServiceRuntime

/// The tail of one series and day.
struct UnsealedPart: Sendable, Equatable {
    var instrumentID: InstrumentID
    var series: SeriesKey
    var day: CivilDay
    /// The earliest end of a row, and the moment at which the first one became known (microseconds since 1970).
    var firstEnd: Int64
    var firstKnownAt: Int64
    var calendar: String
}

/// Makes tails part of their days' chunks.
///
/// A seal is one transaction under the lock of the instrument's row: a chunk with everything of the one before it and the tail, with the same stamp, then the
/// removal of both. Killed anywhere, nothing of it has happened. Feeds go on meanwhile: what they record is not part of it and stays in the tail. A reader who
/// has looked up the chunk that goes looks up anew.
struct LiveSeals: Sendable {
    let pool: PostgresPool
    let cpu: CPUPool

    /// What there is in the tail, the oldest first.
    func unsealed() async throws -> [UnsealedPart] {
        try await pool.query(Self.select("true", calendar: "coalesce((SELECT i.calendar FROM instruments i WHERE i.id = t.instrument_id), '')"))
            .map(Self.part)
    }

    /// Seals what is in the tail of a series and day; false when there was nothing, or somebody else holds the instrument: it comes another time.
    func seal(_ part: UnsealedPart) async throws -> Bool {
        if part.series.intervalSeconds < 3_600 { _ = try await pool.query("SELECT ensure_chunk_months(\([part.day]))") }
        return try await pool.withTransaction { connection in
            let row = try await connection.query("SELECT 1 FROM instruments WHERE id = \(part.instrumentID) FOR UPDATE SKIP LOCKED").first
            guard row != nil else { return false }
            return try await Self.seal(part, cpu: cpu, on: connection)
        }
    }

    /// What there is in the tail of some days of an instrument.
    static func unsealed(of instrument: InstrumentID, on days: [CivilDay], on connection: PostgresConnection) async throws -> [UnsealedPart] {
        try await connection.query(select("t.instrument_id = \(instrument) AND t.day = ANY (\(days)::date[])", calendar: "''")).map(part)
    }

    private static func select(_ condition: SQL, calendar: SQL) -> SQL {
        """
        SELECT t.instrument_id, t.interval_seconds, t.side, t.origin, t.day, min(t.ends_at), min(t.known_at), \(calendar)
        FROM tail_bars t WHERE \(condition)
        GROUP BY t.instrument_id, t.interval_seconds, t.side, t.origin, t.day ORDER BY min(t.known_at)
        """
    }

    private static func part(_ row: PostgresRow) throws -> UnsealedPart {
        let (id, interval, side, origin, day, firstEnd, firstKnownAt, calendar) = try row.decode(
            InstrumentID.self,
            Int.self,
            PriceSide.self,
            SeriesOrigin.self,
            CivilDay.self,
            Timestamp.self,
            Timestamp.self,
            String.self
        )
        return UnsealedPart(
            instrumentID: id,
            series: SeriesKey(intervalSeconds: interval, side: side, origin: origin),
            day: day,
            firstEnd: firstEnd.microseconds,
            firstKnownAt: firstKnownAt.microseconds,
            calendar: calendar
        )
    }

    /// The same in the transaction of somebody who holds the instrument's row.
    static func seal(_ part: UnsealedPart, cpu: CPUPool, on connection: PostgresConnection) async throws -> Bool {
        let (id, series, day) = (part.instrumentID, part.series, part.day)
        let (seconds, side, origin) = (series.intervalSeconds, series.side, series.origin)
        // Stamps rise in the order of commits: what became known by the clock that we see is all there.
        let found = try await connection.pipeline([
            """
            SELECT t.starts_at, t.ends_at, t.version, t.known_at, t.open::text, t.high::text, t.low::text, t.close::text, t.volume::text, t.trades
            FROM tail_bars t
            WHERE t.instrument_id = \(id) AND t.interval_seconds = \(seconds) AND t.side = \(side) AND t.origin = \(origin) AND t.day = \(day)
            ORDER BY t.known_at, t.version, t.starts_at
            """,
            """
            SELECT c.revision, c.edition, c.covered_from, c.covered_to, c.recorded_at, c.import_id, c.source, c.bytes, c.first_known_at, c.sealed_through
            FROM chunks c
            WHERE c.instrument_id = \(id) AND c.interval_seconds = \(seconds) AND c.side = \(side) AND c.origin = \(origin) AND c.day = \(day)
            ORDER BY c.revision DESC LIMIT 1
            """,
        ])
        let rows = try found[0].map(tailRow)
        guard !rows.isEmpty else { return false }
        let before = try found[1].first.map(Before.init)
        let sealed = try await cpu.run { try Sealed(before, rows, series, day) }
        _ = try await connection.pipeline([
            """
            INSERT INTO chunks (instrument_id, interval_seconds, side, origin, day, revision, edition, rows, first_start, first_end, last_end, covered_from,
                covered_to, sha256, recorded_at, import_id, bytes, source, first_known_at, sealed_through, live_editions)
            VALUES (\(id), \(seconds), \(side), \(origin), \(day), \((before?.revision ?? 0) + 1), \(before?.edition ?? 1), \(sealed.rows),
                \(Timestamp(microseconds: sealed.firstStart)), \(Timestamp(microseconds: sealed.firstEnd)), \(Timestamp(microseconds: sealed.lastEnd)),
                \(Timestamp(microseconds: sealed.coverage.lowerBound)), \(Timestamp(microseconds: sealed.coverage.upperBound)), \(sealed.sha256),
                \(before?.recordedAt ?? .distantPast), \(before?.importID ?? UUID()), \(sealed.bytes), \(before?.source ?? "feed"),
                \(sealed.firstKnownAt), \(Timestamp(microseconds: sealed.sealedThrough)), \(sealed.revisions))
            """,
            """
            INSERT INTO chunk_slots (instrument_id, interval_seconds, side, origin, day, revision, slots)
            VALUES (\(id), \(seconds), \(side), \(origin), \(day), \((before?.revision ?? 0) + 1), \(sealed.slots))
            """,
            "SELECT remove_sealed(\(id), \(seconds)::integer, \(side), \(origin), \(day))",
        ])
        return true
    }

    private static func tailRow(_ row: PostgresRow) throws -> LiveDay.Row {
        let (start, end, version, knownAt) = try row.decode(Timestamp.self, Timestamp.self, Int.self, Timestamp.self)
        return LiveDay.Row(
            start: start.microseconds,
            end: end.microseconds,
            version: version,
            knownAt: knownAt.microseconds,
            prices: try PostgresMarketdataStore.tailPrices(row, from: 4)
        )
    }

    /// The day's newest chunk before the seal.
    private struct Before: Sendable {
        let revision: Int
        let edition: Int
        let coverage: Range<Int64>
        let recordedAt: Timestamp
        let importID: UUID
        let source: String
        let bytes: [UInt8]
        let firstKnownAt: Timestamp?
        let sealedThrough: Timestamp?

        init(_ row: PostgresRow) throws {
            let (from, to): (Timestamp, Timestamp)
            (revision, edition, from, to, recordedAt, importID, source, bytes, firstKnownAt, sealedThrough) = try row.decode(
                Int.self,
                Int.self,
                Timestamp.self,
                Timestamp.self,
                Timestamp.self,
                UUID.self,
                String.self,
                [UInt8].self,
                Timestamp?.self,
                Timestamp?.self
            )
            coverage = from.microseconds..<to.microseconds
        }
    }

    /// The day's chunk after it.
    private struct Sealed: Sendable {
        let rows: Int
        let firstStart: Int64
        let firstEnd: Int64
        let lastEnd: Int64
        let coverage: Range<Int64>
        let bytes: [UInt8]
        let sha256: SHA256Digest
        let firstKnownAt: Timestamp
        let sealedThrough: Int64
        let revisions: Int
        let slots: [UInt8]

        init(_ before: Before?, _ rows: [LiveDay.Row], _ series: SeriesKey, _ day: CivilDay) throws {
            var told = LiveDay()
            switch try before.map({ try StoredDay(decoding: $0.bytes) }) {
            case .history(let bars): told = LiveDay(base: bars, settledThrough: before?.coverage.upperBound ?? .min)
            case .live(let known): told = known
            case nil: break
            }
            try told.add(rows)
            let span = told.span ?? (0, 0, 0)
            self.rows = told.rowCount
            (firstStart, firstEnd, lastEnd) = (span.firstStart, span.firstEnd, span.lastEnd)
            coverage = min(span.firstStart, before?.coverage.lowerBound ?? .max)..<max(span.lastEnd, before?.coverage.upperBound ?? .min)
            bytes = told.encoded()
            sha256 = SHA256.digest(bytes)
            let first = Timestamp(microseconds: told.knownAt?.lowerBound ?? .min)
            // History of the day was known before the feed told anything.
            firstKnownAt = before == nil ? first : before?.firstKnownAt ?? .distantPast
            sealedThrough = rows.last?.knownAt ?? .min
            revisions = told.revisionCount
            slots = DaySlots(intervalSeconds: series.intervalSeconds)
                .bits(of: PointInTime.known(told, recordedBy: .max, cut: .max).bars.starts, day: day)
        }
    }
}
