import Bars
import Contracts
import Postgres

/// The rules that keep instruments up to date, and which stretches of time they have spoken for.
struct KeepStore: Sendable {
    let pool: PostgresPool

    // MARK: Rules

    /// In order of their ids, those after one; of one instrument, or of all.
    func rules(after id: KeepRuleID?, instrument: InstrumentID?, limit: Int) async throws -> [KeepRule] {
        try await pool.query(
            """
            \(Self.select)WHERE (\(id)::uuid IS NULL OR k.id > \(id)) AND (\(instrument)::uuid IS NULL OR k.instrument_id = \(instrument))
            ORDER BY k.id LIMIT \(limit)
            """
        ).map(Self.rule)
    }

    func rule(_ id: KeepRuleID) async throws -> KeepRule? {
        try await pool.query(Self.select + "WHERE k.id = \(id)").first.map(Self.rule)
    }

    /// Those that may be asked when somebody reads an instrument.
    func enabledRules(ofSymbol symbol: String) async throws -> [KeepRule] {
        try await pool.read(Self.select + "WHERE k.enabled AND i.symbol = \(symbol)").map(Self.rule)
    }

    /// Adds a rule, due at once, in a transaction that also keeps the answer.
    func create(_ rule: KeepRule, on connection: PostgresConnection) async throws {
        do {
            _ = try await connection.execute(
                """
                INSERT INTO keep_rules (id, instrument_id, source, source_symbol, interval, interval_seconds, every_seconds, backfill_from, enabled,
                    next_due_at, created_at, changed_at)
                VALUES (\(rule.id), \(rule.instrumentID), \(rule.source), \(rule.sourceSymbol), \(rule.kind.text), \(rule.kind.intervalSeconds),
                    \(rule.everySeconds), \(rule.backfillFrom), \(rule.isEnabled), \(rule.nextDueAt), \(rule.createdAt), \(rule.changedAt))
                """
            )
        } catch let error as PostgresError where error.isUniqueViolation(of: "keep_rules_key") {
            throw KeepError.ruleExists(instrument: rule.symbol, source: rule.source, interval: rule.kind.text)
        }
    }

    /// What may be changed of a rule; nothing stays as it is.
    struct Change: Sendable {
        var sourceSymbol: String?
        var everySeconds: Int?
        var backfillFrom: Timestamp?
        var isEnabled: Bool?
    }

    /// Changes a rule; one that is enabled or reaches further back is due at once, one that is due more often no later than that. The same again changes
    /// nothing. Another spelling is another question: what was spoken for by the old one is forgotten.
    func change(_ id: KeepRuleID, _ change: Change) async throws -> KeepRule? {
        _ = try await pool.execute(
            """
            UPDATE keep_rules k SET source_symbol = n.source_symbol, every_seconds = n.every_seconds, backfill_from = n.backfill_from,
                enabled = n.enabled, changed_at = clock_timestamp(), failures = 0,
                spoken_for = CASE WHEN n.source_symbol = k.source_symbol THEN k.spoken_for ELSE '{}' END,
                reach_from = CASE WHEN n.source_symbol = k.source_symbol THEN k.reach_from END,
                next_due_at = CASE
                    WHEN n.source_symbol <> k.source_symbol OR n.backfill_from < k.backfill_from OR (n.enabled AND NOT k.enabled) THEN clock_timestamp()
                    ELSE least(k.next_due_at, clock_timestamp() + make_interval(secs => n.every_seconds)) END
            FROM (SELECT o.id, coalesce(\(change.sourceSymbol)::text, o.source_symbol) AS source_symbol,
                    coalesce(\(change.everySeconds)::bigint::integer, o.every_seconds) AS every_seconds,
                    coalesce(\(change.backfillFrom)::timestamptz, o.backfill_from) AS backfill_from,
                    coalesce(\(change.isEnabled)::boolean, o.enabled) AS enabled
                FROM keep_rules o WHERE o.id = \(id) FOR UPDATE) AS n
            WHERE k.id = n.id
                AND (k.source_symbol, k.every_seconds, k.backfill_from, k.enabled) IS DISTINCT FROM
                    (n.source_symbol, n.every_seconds, n.backfill_from, n.enabled)
            """
        )
        return try await rule(id)
    }

    /// Takes a rule away; what it fetched stays. False when there is none.
    func delete(_ id: KeepRuleID) async throws -> Bool { try await pool.execute("DELETE FROM keep_rules WHERE id = \(id)") == 1 }

    /// Makes an enabled rule due now; one that somebody works on is due again when that is done.
    func runNow(_ id: KeepRuleID) async throws -> KeepRule? {
        _ = try await pool.execute(
            """
            UPDATE keep_rules SET failures = 0, next_due_at =
                CASE WHEN lease_until > clock_timestamp() THEN clock_timestamp() ELSE least(next_due_at, clock_timestamp()) END
            WHERE id = \(id) AND enabled
            """
        )
        return try await rule(id)
    }

    // MARK: Runs

    /// Takes the rule that has been due for longest, if there is one without a runner.
    func claim(runner: String, leaseSeconds: Int) async throws -> KeepRule? {
        let claimed = try await pool.query(
            """
            UPDATE keep_rules SET runner = \(runner), lease_until = clock_timestamp() + make_interval(secs => \(Double(leaseSeconds)))
            WHERE id = (
                SELECT id FROM keep_rules WHERE enabled AND next_due_at <= clock_timestamp() AND lease_until < clock_timestamp()
                ORDER BY next_due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING id
            """
        ).first
        guard let claimed else { return nil }
        return try await rule(try claimed.column(0))
    }

    /// Prolongs the lease; false when somebody else has it, or the rule is gone.
    func renew(_ id: KeepRuleID, runner: String, leaseSeconds: Int) async throws -> Bool {
        try await pool.execute(
            """
            UPDATE keep_rules SET lease_until = clock_timestamp() + make_interval(secs => \(Double(leaseSeconds)))
            WHERE id = \(id) AND runner = \(runner)
            """
        ) == 1
    }

    /// Says what became of a run. The next one is due after the rule's own time, or after a pause that is shorter; or at once where the rule was changed or
    /// made due since it was claimed.
    func finish(_ rule: KeepRule, runner: String, report: FetchReport, outcome: String, failures: Int, pauseSeconds: Int?) async throws {
        _ = try await pool.execute(
            """
            UPDATE keep_rules SET runner = NULL, lease_until = '-infinity', last_run_at = clock_timestamp(), last_outcome = \(outcome),
                last_detail = \(report.failure?.detail), last_days_added = \(report.days.added), last_days_extended = \(report.days.extended),
                last_days_revised = \(report.days.revised), failures = \(failures),
                next_due_at = least(
                    CASE WHEN next_due_at <> \(rule.nextDueAt) THEN next_due_at END,
                    clock_timestamp() + make_interval(secs => coalesce(\(pauseSeconds)::bigint::integer, every_seconds)))
            WHERE id = \(rule.id) AND runner = \(runner)
            """
        )
    }

    /// Gives the lease back without a word: the next replica begins again.
    func release(_ id: KeepRuleID, runner: String) async throws {
        _ = try await pool.execute("UPDATE keep_rules SET runner = NULL, lease_until = '-infinity' WHERE id = \(id) AND runner = \(runner)")
    }

    // MARK: What was spoken for

    /// What of a stretch up to now neither the source was asked for nor stored days speak for, in order; empty when the rule is gone, off, or
    /// spells its instrument otherwise by now. A day that a
    /// feed records is the feed's from its first bar on, as long as somebody wants it live: it fetches what it missed by itself. Afterwards only what it has
    /// closed is.
    ///
    /// Now is by the slower of two clocks: what is taken for over too early would never be asked for again.
    func missing(_ rule: KeepRule, in wanted: Range<Timestamp>, now: Timestamp) async throws -> [Range<Timestamp>] {
        let days = (CivilDay(utcMicroseconds: wanted.lowerBound.microseconds) + -1)...CivilDay(utcMicroseconds: wanted.upperBound.microseconds)
        return try await pool.query(
            """
            WITH wanted AS (
                SELECT greatest(\(wanted.lowerBound), k.backfill_from, k.reach_from) AS since,
                    least(\(wanted.upperBound), \(now), clock_timestamp()) AS until, k.spoken_for
                FROM keep_rules k WHERE k.id = \(rule.id) AND k.enabled AND k.source_symbol = \(rule.sourceSymbol)
            ), stored AS (
                SELECT range_agg(f.stretch) AS stretches FROM (
                    SELECT tstzrange(c.covered_from, c.covered_to) AS stretch FROM chunks c
                    WHERE c.instrument_id = \(rule.instrumentID) AND c.interval_seconds = \(rule.kind.intervalSeconds)
                        AND c.origin = \(rule.kind.origin) AND c.day BETWEEN \(days.lowerBound) AND \(days.upperBound)
                        AND (c.side = 'trade' OR c.source = \(rule.source))
                    UNION ALL
                    SELECT tstzrange(l.first_known_at, greatest(l.first_known_at, least((l.day + 1)::timestamp AT TIME ZONE 'UTC',
                        (SELECT max(d.closed_through) FROM live_closed d
                         WHERE d.instrument_id = l.instrument_id AND d.interval_seconds = l.interval_seconds AND d.side = l.side AND d.origin = l.origin
                            AND NOT EXISTS (SELECT FROM live_subscriptions s WHERE s.instrument_id = l.instrument_id)))))
                    FROM live_days l
                    WHERE l.instrument_id = \(rule.instrumentID) AND l.interval_seconds = \(rule.kind.intervalSeconds)
                        AND l.origin = \(rule.kind.origin) AND l.day BETWEEN \(days.lowerBound) AND \(days.upperBound)
                ) AS f
            )
            SELECT lower(m), upper(m) FROM wanted w CROSS JOIN stored s
            CROSS JOIN LATERAL unnest(
                tstzmultirange(tstzrange(w.since, greatest(w.since, w.until))) - w.spoken_for - coalesce(s.stretches, '{}'::tstzmultirange)) AS m
            ORDER BY 1
            """
        ).map { row in try row.column(0, as: Timestamp.self)..<row.column(1, as: Timestamp.self) }
    }

    /// Whether anything is stored of what a rule fetches.
    func hasBars(_ rule: KeepRule) async throws -> Bool {
        try await pool.query(
            """
            SELECT EXISTS (SELECT FROM series WHERE instrument_id = \(rule.instrumentID) AND interval_seconds = \(rule.kind.intervalSeconds)
                AND origin = \(rule.kind.origin))
            """
        ).first?.column(0) ?? false
    }

    /// Notes that a stretch need not be asked for again, if the rule still spells its instrument so.
    func remember(_ stretches: [Range<Timestamp>], of rule: KeepRule) async throws {
        guard let statement = Self.remember(stretches, of: rule.id, as: rule.sourceSymbol) else { return }
        _ = try await pool.execute(statement)
    }

    /// Notes that the source has nothing older, if the rule still spells its instrument so.
    func reached(_ moment: Timestamp, of rule: KeepRule) async throws {
        _ = try await pool.execute(
            "UPDATE keep_rules SET reach_from = greatest(reach_from, \(moment)) WHERE id = \(rule.id) AND source_symbol = \(rule.sourceSymbol)"
        )
    }

    /// Makes an import the only one of what it speaks for: under the rule's row lock, which its transaction holds to the end. Throws `FetchOvertaken`.
    static func take(_ mark: FetchMark, on connection: PostgresConnection) async throws {
        let row = try await connection.query(
            """
            SELECT spoken_for @> tstzrange(\(mark.asked.lowerBound), \(mark.asked.upperBound)) FROM keep_rules
            WHERE id = \(mark.rule) AND enabled AND source_symbol = \(mark.sourceSymbol) FOR UPDATE
            """
        ).first
        guard let row, try !row.column(0, as: Bool.self) else { throw FetchOvertaken() }
    }

    /// The statement that notes it, for the transaction that stores what came; none where there is nothing to note.
    static func remember(_ stretches: [Range<Timestamp>], of id: KeepRuleID, as sourceSymbol: String) -> SQL? {
        let whole = stretches.filter { !$0.isEmpty }
        guard !whole.isEmpty else { return nil }
        return """
            UPDATE keep_rules k SET spoken_for = k.spoken_for + n.stretches
            FROM (SELECT range_agg(tstzrange(since, until)) AS stretches
                FROM unnest(\(whole.map(\.lowerBound))::timestamptz[], \(whole.map(\.upperBound))::timestamptz[]) AS u (since, until)) AS n
            WHERE k.id = \(id) AND k.source_symbol = \(sourceSymbol) AND NOT k.spoken_for @> n.stretches
            """
    }

    // MARK: Rows

    private static var select: SQL {
        """
        SELECT k.id, k.instrument_id, i.symbol, i.calendar, i.asset_class, k.source, k.source_symbol, k.interval, k.every_seconds, k.backfill_from,
            k.reach_from, k.enabled, k.next_due_at, k.lease_until > clock_timestamp(), k.failures, k.last_run_at, k.last_outcome, k.last_detail,
            k.last_days_added, k.last_days_extended, k.last_days_revised, k.created_at, k.changed_at,
            (SELECT coalesce(array_agg(lower(s) ORDER BY lower(s)), '{}'::timestamptz[]) FROM unnest(k.spoken_for) AS s),
            (SELECT coalesce(array_agg(upper(s) ORDER BY lower(s)), '{}'::timestamptz[]) FROM unnest(k.spoken_for) AS s)
        FROM keep_rules k JOIN instruments i ON i.id = k.instrument_id\u{20}
        """
    }

    private static func rule(_ row: PostgresRow) throws -> KeepRule {
        let interval = try row.column(7, as: String.self)
        guard let kind = HistoryRequest.Kind(text: interval) else { throw KeepError.unreadable(interval) }
        let (since, until) = (try row.column(23, as: [Timestamp].self), try row.column(24, as: [Timestamp].self))
        var rule = KeepRule(
            id: try row.column(0),
            instrumentID: try row.column(1),
            symbol: try row.column(2),
            calendar: try row.column(3),
            assetClass: try row.column(4),
            source: try row.column(5),
            sourceSymbol: try row.column(6),
            kind: kind,
            everySeconds: try row.column(8),
            backfillFrom: try row.column(9),
            reachFrom: try row.column(10),
            isEnabled: try row.column(11),
            spokenFor: Stretches(zip(since, until).map { $0..<$1 }),
            nextDueAt: try row.column(12),
            isRunning: try row.column(13),
            failures: try row.column(14),
            createdAt: try row.column(21),
            changedAt: try row.column(22)
        )
        if let at = try row.column(15, as: Timestamp?.self) {
            rule.lastRun = KeepRule.Run(
                at: at,
                outcome: try row.column(16, as: String?.self) ?? "",
                detail: try row.column(17),
                daysAdded: try row.column(18),
                daysExtended: try row.column(19),
                daysRevised: try row.column(20)
            )
        }
        return rule
    }
}
