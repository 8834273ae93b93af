import Bars
import Contracts
import Postgres

/// Which instruments are live, from which source: what administrators set, and what feeds say of it.
struct LiveSubscriptionStore: Sendable {
    let pool: PostgresPool

    /// A subscription with the lengths of bars whose closes somebody waits for.
    struct Watched: Sendable {
        var subscription: LiveSubscription
        var intervals: [Int]
    }

    /// A stretch that was missed: it is still asked for, or it is lost.
    struct Hole: Sendable {
        var from: Timestamp
        var to: Timestamp
        var reason: String
        var isOpen: Bool
    }

    /// What became of an attempt to set one.
    enum Outcome: Sendable {
        case done(LiveSubscription)
        /// The instrument is live from another source.
        case elsewhere(String)
        /// The source's symbol stands for another instrument.
        case symbolTaken(by: String)
    }

    /// All of a source, in order of symbol.
    func all(of source: String) async throws -> [LiveSubscription] {
        try await pool.query("\(Self.select)WHERE s.source = \(source) ORDER BY i.symbol COLLATE \"C\"").map { try Self.subscription($0) }
    }

    /// What a source's instruments missed and that is not repaired, the latest stretches of each, latest first.
    func holes(of source: String, each: Int) async throws -> [InstrumentID: [Hole]] {
        let rows = try await pool.query(
            """
            SELECT h.instrument_id, h.starts_at, h.ends_at, h.reason, h.state FROM live_subscriptions s CROSS JOIN LATERAL (
                SELECT h.instrument_id, h.starts_at, h.ends_at, h.reason, h.state FROM live_holes h
                WHERE h.instrument_id = s.instrument_id AND h.source = s.source AND h.state <> 'repaired' ORDER BY h.starts_at DESC LIMIT \(each)) AS h
            WHERE s.source = \(source) ORDER BY h.starts_at DESC
            """
        )
        var found: [InstrumentID: [Hole]] = [:]
        for row in rows {
            let (id, from, to, reason, state) = try row.decode(InstrumentID.self, Timestamp.self, Timestamp.self, String.self, String.self)
            found[id, default: []].append(Hole(from: from, to: to, reason: reason, isOpen: state == "open"))
        }
        return found
    }

    /// All of a source with what is watched of them, and the time on the database's clock, in one question: a feed asks it each second.
    func watched(of source: String) async throws -> (now: Timestamp, subscriptions: [Watched]) {
        let answers = try await pool.pipeline([
            "SELECT clock_timestamp()",
            """
            SELECT s.source, s.instrument_id, i.symbol, s.source_symbol, s.bar_seconds, s.changed_at, s.state, s.state_detail, s.state_at,
                array(SELECT DISTINCT w.interval_seconds FROM watches w WHERE w.instrument_id = s.instrument_id AND w.interval_seconds >= 5
                    ORDER BY w.interval_seconds)
            FROM live_subscriptions s JOIN instruments i ON i.id = s.instrument_id WHERE s.source = \(source)
            """,
        ])
        let now = try answers[0].first?.column(0, as: Timestamp.self) ?? .distantPast
        return (now, try answers[1].map { Watched(subscription: try Self.subscription($0), intervals: try $0.column(9, as: [Int].self)) })
    }

    /// Makes or changes the subscription of an instrument; the same again changes nothing, but a refused one is tried again.
    func put(_ instrument: InstrumentID, source: String, symbol: String, barSeconds: Int?) async throws -> Outcome {
        do {
            return try await pool.withTransaction { connection in
                let known = try await connection.query("\(Self.select)WHERE s.instrument_id = \(instrument) FOR UPDATE OF s").first
                if let known = try known.map(Self.subscription) {
                    guard known.source == source else { return .elsewhere(known.source) }
                    if known.sourceSymbol == symbol, known.barSeconds == barSeconds, known.state != .refused { return .done(known) }
                }
                _ = try await connection.execute(
                    """
                    INSERT INTO live_subscriptions (instrument_id, source, source_symbol, bar_seconds, changed_at, state_at)
                    VALUES (\(instrument), \(source), \(symbol), \(barSeconds), clock_timestamp(), clock_timestamp())
                    ON CONFLICT (instrument_id) DO UPDATE SET source_symbol = excluded.source_symbol, bar_seconds = excluded.bar_seconds,
                        changed_at = excluded.changed_at, state = 'waiting', state_detail = '', state_at = excluded.state_at
                    WHERE live_subscriptions.source = excluded.source
                    """
                )
                guard let made = try await connection.query("\(Self.select)WHERE s.instrument_id = \(instrument)").first.map(Self.subscription) else {
                    throw MarketdataError.unknownInstrument(instrument.description)
                }
                return made.source == source ? .done(made) : .elsewhere(made.source)
            }
        } catch let error as PostgresError where error.isUniqueViolation(of: "live_subscriptions_source_source_symbol_key") {
            let holder = try await pool.query("\(Self.select)WHERE s.source = \(source) AND s.source_symbol = \(symbol)").first
            return .symbolTaken(by: try holder.map(Self.subscription)?.symbol ?? symbol)
        }
    }

    /// Takes it away; false when there is none.
    func delete(_ instrument: InstrumentID, source: String) async throws -> Bool {
        try await pool.execute("DELETE FROM live_subscriptions WHERE instrument_id = \(instrument) AND source = \(source)") == 1
    }

    /// What the feed says of one, unless it was changed meanwhile.
    func note(_ state: LiveSubscription.State, _ detail: String, of subscription: LiveSubscription) async throws {
        _ = try await pool.execute(
            """
            UPDATE live_subscriptions SET state = \(state.rawValue), state_detail = \(detail), state_at = clock_timestamp()
            WHERE instrument_id = \(subscription.instrumentID) AND source = \(subscription.source) AND changed_at = \(subscription.changedAt)
            """
        )
    }

    /// The one of an instrument.
    func subscription(of instrument: InstrumentID) async throws -> LiveSubscription? {
        try await pool.query("\(Self.select)WHERE s.instrument_id = \(instrument)").first.map(Self.subscription)
    }

    /// Whether a step was the last one to be recorded, asked by a feed that does not know what became of it: whoever still records it holds the feed's row, and
    /// is awaited.
    func isRecorded(_ step: LiveStep, feed source: String) async throws -> Bool {
        try await pool.query("SELECT 1 FROM live_feeds WHERE source = \(source) AND last_step = \(step.id) FOR UPDATE").first != nil
    }

    private static var select: SQL {
        """
        SELECT s.source, s.instrument_id, i.symbol, s.source_symbol, s.bar_seconds, s.changed_at, s.state, s.state_detail, s.state_at
        FROM live_subscriptions s JOIN instruments i ON i.id = s.instrument_id\u{20}
        """
    }

    private static func subscription(_ row: PostgresRow) throws -> LiveSubscription {
        let (source, instrument, symbol) = try (row.column(0, as: String.self), row.column(1, as: InstrumentID.self), row.column(2, as: String.self))
        let (sourceSymbol, seconds) = try (row.column(3, as: String.self), row.column(4, as: Int?.self))
        return LiveSubscription(
            source: source,
            instrumentID: instrument,
            symbol: symbol,
            sourceSymbol: sourceSymbol,
            barSeconds: seconds,
            changedAt: try row.column(5),
            state: LiveSubscription.State(rawValue: try row.column(6)) ?? .waiting,
            stateDetail: try row.column(7),
            stateAt: try row.column(8)
        )
    }
}
