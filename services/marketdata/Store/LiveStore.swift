import Bars
import Contracts
import FoundationEssentials
import Messaging
import Postgres

/// What feeds write: who runs one, what closed and when that became known, what is to be announced, what was missed.
///
/// There is one clock and one lock for everything live. A step's `known_at` is read under the lock that its commit frees, so that stamps rise in the order of
/// commits, over all feeds and replicas: who reads as of a moment after waiting for the lock sees all that is stamped before it. Locks are taken in one
/// order: rows of instruments, recording locks of instruments, the feed's lease, the lock of everything live. A step takes the last two alone: who imports holds
/// the instrument's row for as long as that takes, and no other instrument of the feed waits for it.
struct LiveStore: Sendable {
    /// Whose recording lock it is.
    static let subject = "live"

    let pool: PostgresPool
    let outbox: Outbox

    // MARK: Leases

    /// Takes the feed of a source, or keeps it; false while another runner has it.
    func claim(feed source: String, runner: String, leaseSeconds: Int) async throws -> Bool {
        let isHeld =
            try await pool.execute(
                """
                INSERT INTO live_feeds (source, runner, lease_until)
                VALUES (\(source), \(runner), clock_timestamp() + make_interval(secs => \(Double(leaseSeconds))))
                ON CONFLICT (source) DO UPDATE SET runner = excluded.runner, lease_until = excluded.lease_until
                WHERE live_feeds.runner = excluded.runner OR live_feeds.lease_until < clock_timestamp()
                """
            ) == 1
        // What a step, or who had the feed before, left to be said. The lease is held whatever becomes of that.
        if isHeld {
            let due = try? await pool.query("SELECT DISTINCT instrument_id FROM live_revisions WHERE source = \(source)")
            for row in due ?? [] { if let id = try? row.column(0, as: InstrumentID.self) { try? await sayRevised(id, feed: source, runner: runner) } }
        }
        return isHeld
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
        let recorded: Recorded?
        do { recorded = try await recordOnce(step, feed: source, runner: runner) } catch let error as NewDays {
            try await begin(error.days)
            recorded = try await recordOnce(step, feed: source, runner: runner)
        }
        // The step is known whatever becomes of these: what cannot be said now is said after the next step, or by who renews the lease.
        for instrument in recorded?.revised ?? [] { try? await sayRevised(instrument, feed: source, runner: runner) }
        return recorded?.knownAt
    }

    /// What became of a step: since when it is known, and of which instruments there are revisions to be said.
    private struct Recorded {
        let knownAt: Timestamp
        let revised: [InstrumentID]
    }

    /// Something of days that nobody has entered yet.
    private struct NewDays: Error { let days: [LiveClose] }

    /// Series begin to exist, and reach to a day, and the day is live before anything of it is stamped: who looks which there are, and of which days, and does
    /// not see it, looks before the stamp. Waits for an import of the instrument, as an import must know which days are live; the feed's row is not held.
    private func begin(_ firsts: [LiveClose]) async throws {
        try await pool.withTransaction { connection in
            try await lock(Set(firsts.map(\.instrumentID)), on: connection)
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
            // Nothing of it is known until a step says when.
            _ = try await connection.execute(
                """
                INSERT INTO live_days (instrument_id, interval_seconds, side, origin, day, first_known_at)
                SELECT d.instrument_id, d.interval_seconds, d.side, d.origin, d.day, 'infinity'::timestamptz FROM \(Self.rows(firsts))
                ON CONFLICT (instrument_id, day, interval_seconds, side, origin) DO NOTHING
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

    private func recordOnce(_ step: LiveStep, feed source: String, runner: String) async throws -> Recorded? {
        try await pool.withTransaction { connection -> Recorded? in
            // Names the step: who does not know what became of it asks for that.
            let held = try await connection.execute(
                "UPDATE live_feeds SET last_step = \(step.id) WHERE source = \(source) AND runner = \(runner) AND lease_until > clock_timestamp()"
            )
            guard held == 1 else { return nil }
            let first = try await firstRows(of: step.closes, on: connection)
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
            if !first.isEmpty { writes.append(Self.note(first, knownAt: knownAt)) }
            if step.closes.contains(where: { $0.version > 0 }) { writes.append(Self.revise(step.closes, knownAt: knownAt, feed: source)) }
            for announcement in step.announcements {
                writes.append(
                    """
                    INSERT INTO live_announcements (source, interval_seconds, close_at, known_at, instruments)
                    VALUES (\(source), \(announcement.intervalSeconds), \(announcement.closeAt), \(knownAt), \(announcement.instruments))
                    """
                )
            }
            let touched = Set(step.closes.map(\.instrumentID)).union(step.announcements.flatMap(\.instruments))
            writes += KnowledgeNotice.send(knownAt: knownAt, instruments: touched.sorted { $0.description < $1.description })
            writes.append("SELECT DISTINCT instrument_id FROM live_revisions WHERE source = \(source)")
            let due = try await connection.pipeline(writes).last ?? []
            return Recorded(knownAt: knownAt, revised: try due.map { try $0.column(0) })
        }
    }

    /// Rows of the series and days of which nothing live was known before. Their days have been entered, or this throws which have not.
    private func firstRows(of closes: [LiveClose], on connection: PostgresConnection) async throws -> [LiveClose] {
        let rows = Self.oneOfEachDay(closes)
        if rows.isEmpty { return [] }
        var (firsts, missing): ([LiveClose], [LiveClose]) = ([], [])
        let found = try await connection.query(
            """
            SELECT d.place, l.day IS NULL OR s.first_day IS NULL OR s.last_day < d.day OR s.first_day > d.day
            FROM \(Self.rows(rows)) LEFT JOIN live_days l ON l.instrument_id = d.instrument_id AND l.interval_seconds = d.interval_seconds
                AND l.side = d.side AND l.origin = d.origin AND l.day = d.day
            LEFT JOIN series s ON s.instrument_id = d.instrument_id AND s.interval_seconds = d.interval_seconds AND s.side = d.side AND s.origin = d.origin
            WHERE l.day IS NULL OR l.first_known_at = 'infinity'
            """
        )
        for row in found {
            let (place, isMissing) = try row.decode(Int.self, Bool.self)
            if isMissing { missing.append(rows[place - 1]) } else { firsts.append(rows[place - 1]) }
        }
        if !missing.isEmpty { throw NewDays(days: missing) }
        return firsts
    }

    private static func oneOfEachDay(_ closes: some Sequence<LiveClose>) -> [LiveClose] {
        var seen: Set<DayOfSeries> = []
        return closes.filter { seen.insert(DayOfSeries($0)).inserted }
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

    /// Locks the rows of instruments in one order for all.
    private func lock(_ instruments: Set<InstrumentID>, on connection: PostgresConnection) async throws {
        let rows = try await connection.query("SELECT id FROM instruments WHERE id = ANY(\(Array(instruments))) ORDER BY id FOR UPDATE")
        let found = Set(try rows.map { try $0.column(0, as: InstrumentID.self) })
        for id in instruments where !found.contains(id) { throw MarketdataError.unknownInstrument(id.description) }
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

    /// Notes since when days are live.
    private static func note(_ firsts: [LiveClose], knownAt: Timestamp) -> SQL {
        """
        UPDATE live_days l SET first_known_at = \(knownAt) FROM \(rows(firsts))
        WHERE l.instrument_id = d.instrument_id AND l.interval_seconds = d.interval_seconds AND l.side = d.side AND l.origin = d.origin AND l.day = d.day
            AND l.first_known_at = 'infinity'
        """
    }

    // MARK: Revisions

    /// Notes which days were revised, and what edition that makes; the rows themselves are written.
    private static func revise(_ closes: [LiveClose], knownAt: Timestamp, feed source: String) -> SQL {
        """
        INSERT INTO live_revisions (source, known_at, instrument_id, interval_seconds, side, origin, day, edition)
        SELECT \(source), \(knownAt), d.instrument_id, d.interval_seconds, d.side, d.origin, d.day, coalesce(c.edition + c.live_editions, 1) + (
            SELECT count(DISTINCT t.known_at) FROM tail_bars t
            WHERE t.instrument_id = d.instrument_id AND t.interval_seconds = d.interval_seconds AND t.side = d.side AND t.origin = d.origin
                AND t.day = d.day AND t.version > 0 AND t.known_at > coalesce(c.sealed_through, '-infinity'))
        FROM \(rows(oneOfEachDay(closes.lazy.filter { $0.version > 0 }))) LEFT JOIN LATERAL (
            SELECT c.edition, c.live_editions, c.sealed_through FROM chunks c
            WHERE c.instrument_id = d.instrument_id AND c.interval_seconds = d.interval_seconds AND c.side = d.side AND c.origin = d.origin
                AND c.day = d.day
            ORDER BY c.revision DESC LIMIT 1) AS c ON true
        """
    }

    /// Says the revisions of an instrument that are due, each once. While somebody else has the instrument's row they stay due: a feed waits for no import.
    private func sayRevised(_ instrument: InstrumentID, feed source: String, runner: String) async throws {
        let outbox = outbox
        try await pool.withTransaction { connection in
            let locked = try await connection.query("SELECT symbol FROM instruments WHERE id = \(instrument) FOR UPDATE SKIP LOCKED").first
            guard let symbol = try locked?.column(0, as: String.self), try await Self.holds(source, runner, on: connection) else { return }
            let said = try await connection.query(
                """
                WITH said AS (DELETE FROM live_revisions WHERE source = \(source) AND instrument_id = \(instrument) RETURNING known_at, day, edition)
                SELECT day, edition FROM said ORDER BY known_at, day, edition
                """
            )
            guard !said.isEmpty else { return }
            let raised = try await connection.query(
                "UPDATE instruments SET version = version + \(said.count) WHERE id = \(instrument) RETURNING version - \(said.count)"
            )
            guard let before = try raised.first?.column(0, as: Int64.self) else { return }
            var events: [(event: BarsRevised, subjectVersion: Int64)] = []
            for row in said {
                let (day, edition) = try row.decode(CivilDay.self, Int64.self)
                let date = CivilDate(daysSince1970: Int64(day.number))
                let event = BarsRevised(instrumentID: instrument, symbol: symbol, day: date, revision: edition)
                events.append((event, before + Int64(events.count) + 1))
            }
            try await outbox.append(events, on: connection)
            await connection.afterCommit { outbox.poke() }
        }
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

    /// What became of saying that bars closed.
    enum Announced: Sendable {
        /// It is said.
        case said
        /// It has been said before, and is due no more.
        case gone
        /// Another runner may have the feed: nothing is said, and whether it is still due is that one's affair.
        case noLease
    }

    /// Says that the bars closed, once.
    func announce(_ event: BarsClosed, of due: LiveAnnouncement, feed source: String, runner: String) async throws -> Announced {
        let outbox = outbox
        return try await pool.withTransaction { connection in
            guard try await Self.holds(source, runner, on: connection) else { return .noLease }
            let removed = try await connection.execute(
                """
                DELETE FROM live_announcements
                WHERE source = \(source) AND interval_seconds = \(due.intervalSeconds) AND close_at = \(due.closeAt) AND known_at = \(due.knownAt)
                """
            )
            guard removed == 1 else { return .gone }
            _ = try await outbox.append(event, subjectVersion: due.knownAt.microseconds, on: connection)
            await connection.afterCommit { outbox.poke() }
            return .said
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

    /// Notes stretches that were missed, all or none: a lost connection is one of each of its instruments. What is noted already stays as it is.
    func openHoles(_ holes: [LiveHole]) async throws {
        if holes.isEmpty { return }
        _ = try await pool.execute(
            """
            INSERT INTO live_holes (id, source, instrument_id, interval_seconds, side, origin, starts_at, ends_at, reason, state, opened_at)
            SELECT h.id, h.source, h.instrument_id, h.interval_seconds, h.side, h.origin, h.starts_at, h.ends_at, h.reason, 'open', statement_timestamp()
            FROM unnest(\(holes.map(\.id))::uuid[], \(holes.map(\.source))::text[], \(holes.map(\.instrumentID))::uuid[],
                \(holes.map { Int64($0.series.intervalSeconds) })::bigint[], \(holes.map(\.series.side.rawValue))::text[],
                \(holes.map(\.series.origin.rawValue))::text[], \(holes.map(\.from))::timestamptz[], \(holes.map(\.to))::timestamptz[],
                \(holes.map(\.reason))::text[])
                AS h (id, source, instrument_id, interval_seconds, side, origin, starts_at, ends_at, reason)
            ON CONFLICT (id) DO NOTHING
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
