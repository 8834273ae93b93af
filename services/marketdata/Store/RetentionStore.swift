import Bars
import Contracts
import Postgres

/// Which retention rule applies to which series.
protocol RetentionLookup: Sendable {
    /// The rules that apply to an instrument's series; series without one are kept for ever.
    func retention(of instrument: InstrumentID) async throws -> [SeriesKey: SeriesRetention]
}

/// Keeps everything.
extension MemoryMarketdataStore {
    func retention(of instrument: InstrumentID) async throws -> [SeriesKey: SeriesRetention] { [:] }
}

extension PostgresMarketdataStore {
    func retention(of instrument: InstrumentID) async throws -> [SeriesKey: SeriesRetention] {
        let rows = try await pool.query(
            """
            SELECT interval_seconds, side, origin, names_instrument, names_interval, keep_days, kept_from, is_held FROM series_retention
            WHERE instrument_id = \(instrument)
            """
        )
        var found: [SeriesKey: SeriesRetention] = [:]
        for row in rows {
            let (interval, side, origin, namesInstrument, namesInterval, keepDays, keptFrom, isHeld) = try row.decode(
                Int.self,
                PriceSide.self,
                SeriesOrigin.self,
                Bool.self,
                Bool.self,
                Int?.self,
                CivilDay?.self,
                Bool.self
            )
            found[SeriesKey(intervalSeconds: interval, side: side, origin: origin)] = SeriesRetention(
                namesInstrument: namesInstrument,
                namesInterval: namesInterval,
                keepDays: keepDays,
                keptFrom: keptFrom,
                isHeld: isHeld
            )
        }
        return found
    }
}

/// The rules, and the removal of what none of them keeps. The service's role may delete no day by itself: functions of the schema's owner do, which look
/// at the rules themselves.
struct RetentionStore: Sendable {
    let pool: PostgresPool

    // MARK: Rules

    /// All rules, the widest first, or those of one scope's instrument.
    func rules(of instrument: InstrumentID? = nil) async throws -> [RetentionRule] {
        try await pool.query(
            """
            \(Self.select)WHERE \(instrument)::uuid IS NULL OR r.instrument_id = \(instrument)
            ORDER BY i.symbol COLLATE "C" NULLS FIRST, r.interval_seconds NULLS FIRST
            """
        ).map(Self.rule)
    }

    /// Makes the rule of a scope, or changes it; the same again changes nothing.
    func put(_ scope: RetentionScope, keepDays: Int?) async throws -> RetentionRule? {
        try await pool.withTransaction { connection in
            _ = try await connection.execute(
                """
                INSERT INTO retention_rules (instrument_id, interval_seconds, keep_days, changed_at)
                VALUES (\(scope.instrument), \(scope.intervalSeconds), \(keepDays), clock_timestamp())
                ON CONFLICT ON CONSTRAINT retention_rules_key DO UPDATE SET keep_days = excluded.keep_days, changed_at = excluded.changed_at
                WHERE retention_rules.keep_days IS DISTINCT FROM excluded.keep_days
                """
            )
            return try await connection.query(
                """
                \(Self.select)WHERE r.instrument_id IS NOT DISTINCT FROM \(scope.instrument)::uuid
                    AND r.interval_seconds IS NOT DISTINCT FROM \(scope.intervalSeconds)::bigint
                """
            ).first.map(Self.rule)
        }
    }

    /// Takes the rule of a scope away; false when there is none.
    func delete(_ scope: RetentionScope) async throws -> Bool {
        try await pool.execute(
            """
            DELETE FROM retention_rules WHERE instrument_id IS NOT DISTINCT FROM \(scope.instrument)::uuid
                AND interval_seconds IS NOT DISTINCT FROM \(scope.intervalSeconds)::bigint
            """
        ) == 1
    }

    private static var select: SQL {
        "SELECT i.symbol, r.interval_seconds, r.keep_days, r.changed_at FROM retention_rules r LEFT JOIN instruments i ON i.id = r.instrument_id "
    }

    private static func rule(_ row: PostgresRow) throws -> RetentionRule {
        let (symbol, interval, keepDays, changedAt) = try row.decode(String?.self, Int?.self, Int?.self, Timestamp.self)
        return RetentionRule(instrument: symbol, intervalSeconds: interval, keepDays: keepDays, changedAt: changedAt)
    }

    // MARK: Removal

    /// What became of a step.
    enum Step: Sendable, Equatable {
        /// So many days went; zero when there is nothing to remove.
        case removed(Int)
        /// Another replica removes, or readers and imports hold what would go.
        case busy
    }

    /// Months of fine bars, oldest first, that have a part of their own and hold days that may go.
    func months() async throws -> [CivilDay] {
        try await pool.query(
            """
            SELECT m.month FROM (
                SELECT to_date(right(c.relname, 7), 'YYYY_MM') AS month FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
                WHERE h.inhparent = 'chunks_fine'::regclass AND c.relname ~ '^chunks_fine_[0-9]{4}_[0-9]{2}$'
            ) AS m
            WHERE EXISTS (
                SELECT FROM series_retention r WHERE r.interval_seconds < 3600 AND NOT r.is_held AND r.first_day < (m.month + interval '1 month')::date
                    AND r.kept_from >= (m.month + interval '1 month')::date)
            ORDER BY m.month
            """
        ).map { try $0.column(0) }
    }

    /// Drops a month of fine bars if no rule keeps anything of it; one that is too much for a statement is left to be removed by days.
    func drop(month: CivilDay) async throws -> Step {
        do { return try await step("SELECT removed, emptied FROM drop_chunk_month(\(month))") } catch let error as PostgresError {
            if error.sqlState == "55P03" { return .busy }
            if error.code == .timeout { return .removed(0) }
            throw error
        }
    }

    /// Removes the oldest days that no rule keeps, at most so many; of fine bars before a day, or of all.
    func removeDays(before day: CivilDay?, maximum: Int) async throws -> Step {
        try await step("SELECT removed, emptied FROM remove_chunk_days(\(day)::date, \(maximum)::integer)")
    }

    private func step(_ statement: SQL) async throws -> Step {
        try await pool.withTransaction { connection in
            guard let row = try await connection.query(statement).first, let removed = try row.column(0, as: Int?.self) else { return .busy }
            // In the same transaction, under the rows' locks: an instrument whose finest series went has another base, or none.
            for instrument in Set(try row.column(1, as: [InstrumentID].self)) {
                let left = try await connection.query("SELECT interval_seconds, side, origin FROM series WHERE instrument_id = \(instrument)").map {
                    let (interval, side, origin) = try $0.decode(Int.self, PriceSide.self, SeriesOrigin.self)
                    return SeriesKey(intervalSeconds: interval, side: side, origin: origin)
                }
                let base = left.isEmpty ? nil : try BaseInterval.seconds(of: left)
                _ = try await connection.execute("UPDATE instruments SET base_interval_seconds = \(base) WHERE id = \(instrument)")
            }
            return .removed(removed)
        }
    }
}
