import Bars
import Contracts
import FoundationEssentials
import Messaging
import Postgres

/// What feeds write: who runs one, what closed and when that became known, what is to be announced, what was missed.
///
/// There is one clock and one lock for everything live. A step's `known_at` is read under the lock that its commit frees, so that stamps rise in the order of
/// commits, over all feeds and replicas: who reads as of a moment after waiting for the lock sees all that is stamped before it. Locks are taken in one
/// order: the feed's lease, rows of instruments, recording locks of instruments, the one of everything live.
struct LiveStore: Sendable {
    /// Whose recording lock it is.
    static let subject = "live"

    let pool: PostgresPool
    let outbox: Outbox

    // MARK: Leases

    /// Takes the feed of a source, or keeps it; false while another runner has it.
    func claim(feed source: String, runner: String, leaseSeconds: Int) async throws -> Bool {
        try await pool.execute(
            """
            INSERT INTO live_feeds (source, runner, lease_until)
            VALUES (\(source), \(runner), clock_timestamp() + make_interval(secs => \(Double(leaseSeconds))))
            ON CONFLICT (source) DO UPDATE SET runner = excluded.runner, lease_until = excluded.lease_until
            WHERE live_feeds.runner = excluded.runner OR live_feeds.lease_until < clock_timestamp()
            """
        ) == 1
    }

    /// Gives the feed back, so that another replica need not wait for the end of the lease.
    func release(feed source: String, runner: String) async throws {
        _ = try await pool.execute("UPDATE live_feeds SET lease_until = '-infinity' WHERE source = \(source) AND runner = \(runner)")
    }

    /// Whether the runner has the feed; if so nobody else gets it before the transaction ends.
    private static func holds(_ source: String, _ runner: String, on connection: PostgresConnection) async throws -> Bool {
        try await connection.query(
            "SELECT 1 FROM live_feeds WHERE source = \(source) AND runner = \(runner) AND lease_until > clock_timestamp() FOR UPDATE"
        ).first != nil
    }

    // MARK: Recording

    /// Makes a step known; gives the moment from which it is, or nothing when the lease is gone.
    ///
    /// A step that ends more than a minute after the database's clock is refused (`aheadOfClock`): `known_at` is never before an end and never falls again, so
    /// one tick with a wrong date would put off everything live.
    func record(_ step: LiveStep, feed source: String, runner: String) async throws -> Timestamp? {
        do { return try await recordOnce(step, feed: source, runner: runner) } catch let error as NewSeries {
            try await begin(error.series)
            return try await recordOnce(step, feed: source, runner: runner)
        }
    }

    /// Something of a series that does not exist yet, or does not reach to the day.
    private struct NewSeries: Error { let series: [LiveClose] }

    /// Series begin to exist, and reach to a day, before anything of it is stamped: who looks which there are, and of which days, and does not see it, looks
    /// before the stamp.
    private func begin(_ firsts: [LiveClose]) async throws {
        try await pool.withTransaction { connection in
            _ = try await lock(Set(firsts.map(\.instrumentID)), on: connection)
            _ = try await connection.execute(
                """
                INSERT INTO series (instrument_id, interval_seconds, side, origin, first_day, last_day, first_end)
                SELECT d.instrument_id, d.interval_seconds, d.side, d.origin, min(d.day), max(d.day), clock_timestamp()
                FROM \(Self.rows(firsts)) GROUP BY d.instrument_id, d.interval_seconds, d.side, d.origin
                ON CONFLICT (instrument_id, interval_seconds, side, origin) DO UPDATE SET
                    first_day = least(series.first_day, excluded.first_day), last_day = greatest(series.last_day, excluded.last_day),
                    first_end = least(series.first_end, excluded.first_end)
                """
            )
            for instrument in Set(firsts.map(\.instrumentID)) {
                let rows = try await connection.query("SELECT interval_seconds, side, origin FROM series WHERE instrument_id = \(instrument)")
                let series = try rows.map { row in
                    let (interval, side, origin) = try row.decode(Int.self, PriceSide.self, SeriesOrigin.self)
                    return SeriesKey(intervalSeconds: interval, side: side, origin: origin)
                }
                let base = try BaseInterval.seconds(of: series)
                _ = try await connection.execute("UPDATE instruments SET base_interval_seconds = \(base) WHERE id = \(instrument)")
            }
        }
    }

    private func recordOnce(_ step: LiveStep, feed source: String, runner: String) async throws -> Timestamp? {
        let outbox = outbox
        return try await pool.withTransaction { connection -> Timestamp? in
            guard try await Self.holds(source, runner, on: connection) else { return nil }
            let first = try await newDays(of: step.closes, on: connection)
            let revised = Set(step.closes.filter { $0.version > 0 }.map(\.instrumentID))
            let unknown = try await newSeries(of: first, on: connection)
            if !unknown.isEmpty { throw NewSeries(series: unknown) }
            let symbols = try await lock(Set(first.map(\.instrumentID)).union(revised), on: connection)
            // Readers look for live days under the instrument's own recording lock, before they wait for the one of everything live.
            let locks = Set(first.map(\.instrumentID.description)).sorted().map(PostgresMarketdataStore.lockRecording)
            if !locks.isEmpty { _ = try await connection.pipeline(locks) }
            let ends = Timestamp(microseconds: step.closes.map(\.end).max() ?? Timestamp.distantPast.microseconds)
            let stamped = try await connection.pipeline([
                PostgresMarketdataStore.lockRecording(of: Self.subject),
                """
                UPDATE live_clock
                SET known_at = greatest(clock_timestamp(), known_at + interval '1 microsecond', \(step.notBefore)::timestamptz, \(ends)::timestamptz)
                WHERE greatest(\(step.notBefore)::timestamptz, \(ends)::timestamptz) <= greatest(clock_timestamp(), known_at) + interval '1 minute'
                RETURNING known_at
                """,
            ])
            guard let knownAt = try stamped[1].first?.column(0, as: Timestamp.self) else {
                throw LiveStoreError.aheadOfClock(max(ends, step.notBefore ?? .distantPast))
            }
            var writes: [SQL] = []
            if !step.closes.isEmpty {
                writes.append(Self.insert(step.closes, knownAt: knownAt))
                writes.append(Self.advance(step.closes, feed: source))
            }
            writes += Self.note(first, knownAt: knownAt)
            for announcement in step.announcements {
                writes.append(
                    """
                    INSERT INTO live_announcements (source, interval_seconds, close_at, known_at, instruments)
                    VALUES (\(source), \(announcement.intervalSeconds), \(announcement.closeAt), \(knownAt), \(announcement.instruments))
                    ON CONFLICT (source, interval_seconds, close_at) DO NOTHING
                    """
                )
            }
            let touched = Set(step.closes.map(\.instrumentID)).union(step.announcements.flatMap(\.instruments))
            writes += KnowledgeNotice.send(knownAt: knownAt, instruments: touched.sorted { $0.description < $1.description })
            _ = try await connection.pipeline(writes)
            if !revised.isEmpty { try await sayRevised(step.closes, symbols, on: connection) }
            await connection.afterCommit { outbox.poke() }
            return knownAt
        }
    }

    /// Rows of the series and days of which nothing live was known before.
    private func newDays(of closes: [LiveClose], on connection: PostgresConnection) async throws -> [LiveClose] {
        var firsts: [LiveClose] = []
        var seen: Set<DayOfSeries> = []
        for close in closes where seen.insert(DayOfSeries(close)).inserted { firsts.append(close) }
        let known = try await connection.query(
            """
            SELECT d.place FROM \(Self.rows(firsts)) JOIN live_days l ON l.instrument_id = d.instrument_id AND l.interval_seconds = d.interval_seconds
                AND l.side = d.side AND l.origin = d.origin AND l.day = d.day
            """
        )
        let places = Set(try known.map { try $0.column(0, as: Int.self) - 1 })
        return firsts.indices.filter { !places.contains($0) }.map { firsts[$0] }
    }

    /// Those whose series does not exist, or not with their day.
    private func newSeries(of firsts: [LiveClose], on connection: PostgresConnection) async throws -> [LiveClose] {
        if firsts.isEmpty { return [] }
        let missing = try await connection.query(
            """
            SELECT d.place FROM \(Self.rows(firsts)) LEFT JOIN series s ON s.instrument_id = d.instrument_id AND s.interval_seconds = d.interval_seconds
                AND s.side = d.side AND s.origin = d.origin
            WHERE s.instrument_id IS NULL OR s.last_day < d.day OR s.first_day > d.day
            """
        )
        return try missing.map { firsts[try $0.column(0, as: Int.self) - 1] }
    }

    private struct DayOfSeries: Hashable {
        let instrument: InstrumentID
        let series: SeriesKey
        let day: CivilDay

        init(_ close: LiveClose) { (instrument, series, day) = (close.instrumentID, close.series, close.day) }
    }

    /// The days of rows, as `d` with the row's `place` counted from 1.
    private static func rows(_ closes: [LiveClose]) -> SQL {
        """
        unnest(\(closes.map(\.instrumentID))::uuid[], \(closes.map { Int64($0.series.intervalSeconds) })::bigint[],
            \(closes.map(\.series.side.rawValue))::text[], \(closes.map(\.series.origin.rawValue))::text[], \(closes.map(\.day))::date[])
            WITH ORDINALITY AS d (instrument_id, interval_seconds, side, origin, day, place)
        """
    }

    /// Locks the rows of instruments in one order for all; gives their symbols.
    private func lock(_ instruments: Set<InstrumentID>, on connection: PostgresConnection) async throws -> [InstrumentID: String] {
        if instruments.isEmpty { return [:] }
        var symbols: [InstrumentID: String] = [:]
        for row in try await connection.query("SELECT id, symbol FROM instruments WHERE id = ANY(\(Array(instruments))) ORDER BY id FOR UPDATE") {
            let (id, symbol) = try row.decode(InstrumentID.self, String.self)
            symbols[id] = symbol
        }
        for id in instruments where symbols[id] == nil { throw MarketdataError.unknownInstrument(id.description) }
        return symbols
    }

    private static func insert(_ closes: [LiveClose], knownAt: Timestamp) -> SQL {
        """
        INSERT INTO tail_bars (instrument_id, interval_seconds, side, origin, day, starts_at, ends_at, version, known_at, open, high, low, close, volume, trades)
        SELECT d.instrument_id, d.interval_seconds, d.side, d.origin, d.day, r.starts_at, r.ends_at, r.version, \(knownAt), r.open::numeric, r.high::numeric,
            r.low::numeric, r.close::numeric, r.volume::numeric, r.trades
        FROM \(rows(closes))
        JOIN unnest(\(closes.map { Timestamp(microseconds: $0.start) })::timestamptz[], \(closes.map { Timestamp(microseconds: $0.end) })::timestamptz[],
            \(closes.map { Int64($0.version) })::bigint[], \(closes.map { $0.prices?.open.text })::text[], \(closes.map { $0.prices?.high.text })::text[],
            \(closes.map { $0.prices?.low.text })::text[], \(closes.map { $0.prices?.close.text })::text[],
            \(closes.map { $0.prices?.volume?.text })::text[], \(closes.map { $0.prices?.trades })::bigint[])
            WITH ORDINALITY AS r (starts_at, ends_at, version, open, high, low, close, volume, trades, place) USING (place)
        """
    }

    /// Notes how far the feed has closed each series.
    private static func advance(_ closes: [LiveClose], feed source: String) -> SQL {
        """
        INSERT INTO live_closed (source, instrument_id, interval_seconds, side, origin, closed_through)
        SELECT \(source), d.instrument_id, d.interval_seconds, d.side, d.origin, max(r.ends_at)
        FROM \(rows(closes))
        JOIN unnest(\(closes.map { Timestamp(microseconds: $0.end) })::timestamptz[]) WITH ORDINALITY AS r (ends_at, place) USING (place)
        GROUP BY d.instrument_id, d.interval_seconds, d.side, d.origin
        ON CONFLICT (source, instrument_id, interval_seconds, side, origin) DO UPDATE SET closed_through = excluded.closed_through
        WHERE live_closed.closed_through < excluded.closed_through
        """
    }

    /// Notes days that have become live, and what of their series exists. The instruments' rows are locked, as an import has them.
    private static func note(_ firsts: [LiveClose], knownAt: Timestamp) -> [SQL] {
        if firsts.isEmpty { return [] }
        return [
            """
            INSERT INTO live_days (instrument_id, interval_seconds, side, origin, day, first_known_at)
            SELECT d.instrument_id, d.interval_seconds, d.side, d.origin, d.day, \(knownAt) FROM \(rows(firsts))
            """,
            """
            INSERT INTO series (instrument_id, interval_seconds, side, origin, first_day, last_day, first_end)
            SELECT d.instrument_id, d.interval_seconds, d.side, d.origin, min(d.day), max(d.day), \(knownAt)
            FROM \(rows(firsts)) GROUP BY d.instrument_id, d.interval_seconds, d.side, d.origin
            ON CONFLICT (instrument_id, interval_seconds, side, origin) DO UPDATE SET
                first_day = least(series.first_day, excluded.first_day), last_day = greatest(series.last_day, excluded.last_day),
                first_end = least(series.first_end, excluded.first_end)
            """,
        ]
    }

    /// Says which days were revised, under the locked rows of their instruments.
    private func sayRevised(_ closes: [LiveClose], _ symbols: [InstrumentID: String], on connection: PostgresConnection) async throws {
        var days: [LiveClose] = []
        var seen: Set<DayOfSeries> = []
        for close in closes where close.version > 0 && seen.insert(DayOfSeries(close)).inserted { days.append(close) }
        let editions = try await connection.query(
            """
            SELECT d.place, coalesce(c.edition + c.live_editions, 1) + (
                SELECT count(DISTINCT t.known_at) FROM tail_bars t
                WHERE t.instrument_id = d.instrument_id AND t.interval_seconds = d.interval_seconds AND t.side = d.side AND t.origin = d.origin
                    AND t.day = d.day AND t.version > 0 AND t.known_at > coalesce(c.sealed_through, '-infinity'))
            FROM \(Self.rows(days)) LEFT JOIN LATERAL (
                SELECT c.edition, c.live_editions, c.sealed_through FROM chunks c
                WHERE c.instrument_id = d.instrument_id AND c.interval_seconds = d.interval_seconds AND c.side = d.side AND c.origin = d.origin
                    AND c.day = d.day
                ORDER BY c.revision DESC LIMIT 1) AS c ON true
            ORDER BY d.place
            """
        )
        var events: [(event: BarsRevised, subjectVersion: Int64)] = []
        for row in editions {
            let (place, edition) = try row.decode(Int.self, Int64.self)
            let day = days[place - 1]
            let version = try await connection.query(
                "UPDATE instruments SET version = version + 1 WHERE id = \(day.instrumentID) RETURNING version"
            ).first?.column(0, as: Int64.self)
            guard let version else { continue }
            let event = BarsRevised(
                instrumentID: day.instrumentID,
                symbol: symbols[day.instrumentID] ?? "",
                day: CivilDate(daysSince1970: Int64(day.day.number)),
                revision: edition
            )
            events.append((event, version))
        }
        try await outbox.append(events, on: connection)
    }

    // MARK: Announcing

    /// Closes that nobody has announced yet, the oldest first.
    func announcementsDue(feed source: String) async throws -> [LiveAnnouncement] {
        try await pool.query(
            """
            SELECT interval_seconds, close_at, known_at, instruments FROM live_announcements WHERE source = \(source)
            ORDER BY known_at, interval_seconds, close_at
            """
        ).map { row in
            let (interval, closeAt, knownAt, instruments) = try row.decode(Int.self, Timestamp.self, Timestamp.self, [InstrumentID].self)
            return LiveAnnouncement(intervalSeconds: interval, closeAt: closeAt, knownAt: knownAt, instruments: instruments)
        }
    }

    /// Says that the bars closed, once; false when it has been said, or the lease is gone.
    func announce(_ event: BarsClosed, of due: LiveAnnouncement, feed source: String, runner: String) async throws -> Bool {
        let outbox = outbox
        return try await pool.withTransaction { connection in
            guard try await Self.holds(source, runner, on: connection) else { return false }
            let removed = try await connection.execute(
                """
                DELETE FROM live_announcements
                WHERE source = \(source) AND interval_seconds = \(due.intervalSeconds) AND close_at = \(due.closeAt) AND known_at = \(due.knownAt)
                """
            )
            guard removed == 1 else { return false }
            _ = try await outbox.append(event, subjectVersion: due.knownAt.microseconds, on: connection)
            await connection.afterCommit { outbox.poke() }
            return true
        }
    }

    // MARK: Going on

    /// How far a feed has closed the series of each instrument.
    func closedThrough(feed source: String) async throws -> [InstrumentID: (SeriesKey, Int64)] {
        var found: [InstrumentID: (SeriesKey, Int64)] = [:]
        let rows = try await pool.query(
            """
            SELECT instrument_id, interval_seconds, side, origin, closed_through FROM live_closed WHERE source = \(source)
            ORDER BY closed_through
            """
        )
        for row in rows {
            let (id, interval, side, origin, through) = try row.decode(
                InstrumentID.self,
                Int.self,
                PriceSide.self,
                SeriesOrigin.self,
                Timestamp.self
            )
            // A source that has changed its series goes on with the one that got further.
            found[id] = (SeriesKey(intervalSeconds: interval, side: side, origin: origin), through.microseconds)
        }
        return found
    }

    // MARK: Holes

    /// Notes a stretch that was missed.
    func openHole(_ hole: LiveHole) async throws {
        _ = try await pool.execute(
            """
            INSERT INTO live_holes (id, source, instrument_id, interval_seconds, side, origin, starts_at, ends_at, reason, state, opened_at)
            VALUES (\(hole.id), \(hole.source), \(hole.instrumentID), \(hole.series.intervalSeconds), \(hole.series.side), \(hole.series.origin), \(hole.from),
                \(hole.to), \(hole.reason), 'open', clock_timestamp())
            """
        )
    }

    /// Says what became of a stretch that was missed; false when that was said before.
    func settleHole(_ id: UUID, as state: LiveHole.State) async throws -> Bool {
        precondition(state != .open, "an open hole is not settled")
        return try await pool.execute(
            "UPDATE live_holes SET state = \(state.rawValue), settled_at = clock_timestamp() WHERE id = \(id) AND state = 'open'"
        ) == 1
    }

    /// The stretches that a feed missed and that are still to be had, or all of them, in order of time.
    func holes(feed source: String, openOnly: Bool = true) async throws -> [LiveHole] {
        try await pool.query(
            """
            SELECT id, source, instrument_id, interval_seconds, side, origin, starts_at, ends_at, reason, state FROM live_holes
            WHERE source = \(source) AND (state = 'open' OR NOT \(openOnly)) ORDER BY starts_at, id
            """
        ).map(Self.hole)
    }

    /// The stretches of an instrument that were missed, whatever became of them, in order of time.
    func holes(of instrument: InstrumentID, limit: Int) async throws -> [LiveHole] {
        try await pool.query(
            """
            SELECT id, source, instrument_id, interval_seconds, side, origin, starts_at, ends_at, reason, state FROM live_holes
            WHERE instrument_id = \(instrument) ORDER BY starts_at, id LIMIT \(limit)
            """
        ).map(Self.hole)
    }

    private static func hole(_ row: PostgresRow) throws -> LiveHole {
        let (id, source, instrument, interval, side, origin, from, to, reason, state) = try row.decode(
            UUID.self,
            String.self,
            InstrumentID.self,
            Int.self,
            PriceSide.self,
            SeriesOrigin.self,
            Timestamp.self,
            Timestamp.self,
            String.self,
            String.self
        )
        return LiveHole(
            id: id,
            source: source,
            instrumentID: instrument,
            series: SeriesKey(intervalSeconds: interval, side: side, origin: origin),
            from: from,
            to: to,
            reason: reason,
            state: LiveHole.State(rawValue: state) ?? .open
        )
    }
}
