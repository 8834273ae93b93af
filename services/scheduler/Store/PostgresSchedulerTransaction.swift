import Contracts
import Messaging
import Postgres
import Schedules

/// The rows of the schema within one transaction.
struct PostgresSchedulerTransaction: SchedulerTransaction {
    let connection: PostgresConnection
    let outbox: Outbox
    /// Told after the commit of classes in which jobs may be claimed that waited for others.
    var hint: @Sendable (ResourceClass) -> Void = { _ in }
    var news = JobNews()

    func lockedSchedule(of signal: SignalID) async throws -> Schedule? {
        // The lock also holds off a second first event of the same signal, for which there is no row to lock yet.
        _ = try await connection.query("SELECT pg_advisory_xact_lock(hashtextextended(\("scheduler.signal/" + signal.description), 0))")
        return try await connection.query(
            "SELECT \(unsafe: ScheduleColumns.list) FROM schedules WHERE signal_id = \(signal) FOR NO KEY UPDATE"
        ).first.map(ScheduleColumns.schedule)
    }

    func lockedSchedule(_ id: ScheduleID) async throws -> Schedule? {
        try await connection.query(
            "SELECT \(unsafe: ScheduleColumns.list) FROM schedules WHERE schedule_id = \(id) FOR NO KEY UPDATE"
        ).first.map(ScheduleColumns.schedule)
    }

    func setFailures(_ count: Int, of schedule: ScheduleID) async throws {
        try await connection.execute(
            "UPDATE schedules SET failures_in_a_row = \(count) WHERE schedule_id = \(schedule) AND failures_in_a_row <> \(count)"
        )
    }

    func moment() async throws -> Timestamp {
        guard let row = try await connection.query("SELECT clock_timestamp()").first else { return .now() }
        return try row.column(0)
    }

    func lockedDueSchedules(at now: Timestamp, besides resting: [RestingSchedule], limit: Int) async throws -> [Schedule] {
        try await connection.query(
            """
            SELECT \(unsafe: ScheduleColumns.list) FROM schedules
            WHERE state = 'active' AND next_due_at IS NOT NULL AND next_due_at <= \(now)\(ScheduleColumns.besides(resting))
            ORDER BY next_due_at LIMIT \(limit) FOR NO KEY UPDATE SKIP LOCKED
            """
        ).map(ScheduleColumns.schedule)
    }

    func lockedSchedules(waitingFor bars: [WatchedBar]) async throws -> [Schedule] {
        try await connection.query(
            """
            SELECT \(unsafe: ScheduleColumns.list) FROM schedules
            WHERE state = 'active' AND bar_instrument IS NOT NULL
              AND (bar_instrument, bar_seconds) IN (
                  SELECT instrument, seconds FROM unnest(\(bars.map(\.instrument)), \(bars.map { Int32($0.intervalSeconds) })) AS bar (instrument, seconds))
            ORDER BY schedule_id FOR NO KEY UPDATE
            """
        ).map(ScheduleColumns.schedule)
    }

    func save(_ schedule: Schedule) async throws {
        var bar: WatchedBar?
        if schedule.state == .active, let cadence = schedule.publication?.manifest.schedule, case .barClose(let instrument, let interval) = cadence {
            bar = WatchedBar(instrument: instrument, intervalSeconds: try BarLength.seconds(of: interval))
        }
        let window = bar.flatMap { bar in
            schedule.publication.map { BarClosePlan.window($0.manifest.policy, intervalSeconds: bar.intervalSeconds) }
        }.map { Int32($0.components.seconds) }
        let publication = try schedule.publication.map { try PostgresJSON(encoding: $0) }
        try await connection.execute(
            """
            INSERT INTO schedules (schedule_id, signal_id, account_id, state, subject_version, publication, invalid_reason, cursor_at, next_due_at,
                bar_instrument, bar_seconds, bar_window_seconds, market, paused_at, paused_by, pause_reason, resumed_at, failures_in_a_row)
            VALUES (\(schedule.id), \(schedule.signalID), \(schedule.accountID), \(schedule.state), \(schedule.subjectVersion), \(publication),
                \(schedule.invalidReason), \(schedule.cursor), \(schedule.nextDueAt), \(bar?.instrument), \(bar.map { Int32($0.intervalSeconds) }),
                \(window), \(schedule.market), \(schedule.pause?.since), \(schedule.pause?.by), \(schedule.pause?.reason), \(schedule.resumedAt),
                \(schedule.failuresInARow))
            ON CONFLICT (schedule_id) DO UPDATE SET
                account_id = excluded.account_id, state = excluded.state, subject_version = excluded.subject_version, publication = excluded.publication,
                invalid_reason = excluded.invalid_reason, cursor_at = excluded.cursor_at, next_due_at = excluded.next_due_at,
                bar_instrument = excluded.bar_instrument, bar_seconds = excluded.bar_seconds, bar_window_seconds = excluded.bar_window_seconds,
                market = excluded.market, paused_at = excluded.paused_at, paused_by = excluded.paused_by, pause_reason = excluded.pause_reason,
                resumed_at = excluded.resumed_at, failures_in_a_row = excluded.failures_in_a_row
            """
        )
    }

    func advance(_ schedules: [Schedule], taking counts: [SignalID: Int]) async throws -> [SignalID: Int64] {
        if schedules.isEmpty { return [:] }
        // One new version of each row: thousands fall due in the same second.
        let rows = try await connection.query(
            """
            UPDATE schedules SET cursor_at = new.cursor_at, next_due_at = new.next_due_at, event_version = event_version + taken
            FROM unnest(\(schedules.map(\.id)), \(schedules.map(\.cursor)), \(schedules.map(\.nextDueAt)),
                \(schedules.map { Int64(counts[$0.signalID] ?? 0) })) AS new (schedule_id, cursor_at, next_due_at, taken)
            WHERE schedules.schedule_id = new.schedule_id
              AND (taken > 0 OR (schedules.cursor_at, schedules.next_due_at) IS DISTINCT FROM (new.cursor_at, new.next_due_at))
            RETURNING signal_id, event_version - taken + 1
            """
        )
        return try Dictionary(rows.map { try $0.decode(SignalID.self, Int64.self) }) { first, _ in first }
    }

    func begin(_ era: ScheduleEra) async throws {
        let policy = era.policy == SchedulePolicy() ? nil : try PostgresJSON(encoding: era.policy)
        try await connection.execute(
            """
            INSERT INTO schedule_eras (schedule_id, from_at, to_at, cadence, policy)
            VALUES (\(era.scheduleID), \(era.from), \(era.to), \(try PostgresJSON(encoding: era.cadence)), \(policy))
            ON CONFLICT (schedule_id, from_at) DO UPDATE SET to_at = excluded.to_at, cadence = excluded.cadence, policy = excluded.policy
            """
        )
    }

    func endEra(of schedule: ScheduleID, at time: Timestamp) async throws {
        try await connection.execute(
            "UPDATE schedule_eras SET to_at = greatest(from_at, \(time)) WHERE schedule_id = \(schedule) AND to_at IS NULL"
        )
    }

    func countSchedules(dueAt time: Timestamp, limit: Int) async throws -> Int {
        try await connection.query(
            "SELECT count(*) FROM (SELECT FROM schedules WHERE state = 'active' AND next_due_at = \(time) AND paused_at IS NULL LIMIT \(limit)) AS due"
        ).first?.column(0) ?? 0
    }

    func add(_ occurrences: [Occurrence]) async throws -> Set<OccurrenceID> {
        if occurrences.isEmpty { return [] }
        return Set(
            try await connection.query(
                """
                INSERT INTO occurrences (\(unsafe: OccurrenceColumns.list))
                SELECT new.* FROM unnest(\(occurrences.map(\.id)), \(occurrences.map(\.scheduleID)), \(occurrences.map(\.signalID)),
                    \(occurrences.map(\.accountID)), \(occurrences.map(\.dueAt)), \(occurrences.map(\.rangeTo)), \(occurrences.map(\.count)),
                    \(occurrences.map(\.asOf)), \(occurrences.map(\.barInstrument)), \(occurrences.map(\.barEnd)), \(occurrences.map(\.outcome)), \(occurrences.map(\.reason)),
                    \(occurrences.map(\.jobID)), \(occurrences.map(\.recordedAt)), \(occurrences.map(\.madeAt)), \(occurrences.map(\.isRecordedLate)))
                    AS new (\(unsafe: OccurrenceColumns.list))
                -- What the archive holds has its outcome. It holds nothing of days that have not been counted, so for what is due now nobody looks there.
                WHERE CASE WHEN new.due_at < (SELECT (max(day) + 1)::timestamp AT TIME ZONE 'UTC' FROM cadence_walks WHERE done_at IS NOT NULL)
                    THEN NOT EXISTS (SELECT FROM occurrences_archive AS old WHERE old.schedule_id = new.schedule_id AND old.due_at = new.due_at)
                    ELSE true END
                ON CONFLICT DO NOTHING RETURNING occurrence_id
                """
            ).map { try $0.column(0, as: OccurrenceID.self) }
        )
    }

    func lockedOccurrences(_ ids: [OccurrenceID]) async throws -> [Occurrence] {
        if ids.isEmpty { return [] }
        return try await connection.pipeline([
            .plannedOnce,
            "SELECT \(unsafe: OccurrenceColumns.list) FROM occurrences WHERE occurrence_id = ANY (\(ids)) ORDER BY occurrence_id FOR NO KEY UPDATE",
        ])[1].map(OccurrenceColumns.occurrence)
    }

    func update(_ occurrences: [Occurrence]) async throws {
        if occurrences.isEmpty { return }
        try await connection.execute(
            """
            UPDATE occurrences SET outcome = new.outcome, reason = new.reason, recorded_at = new.recorded_at, recorded_late = new.recorded_late
            FROM unnest(\(occurrences.map(\.id)), \(occurrences.map(\.outcome)), \(occurrences.map(\.reason)), \(occurrences.map(\.recordedAt)),
                \(occurrences.map(\.isRecordedLate))) AS new (occurrence_id, outcome, reason, recorded_at, recorded_late)
            WHERE occurrences.occurrence_id = new.occurrence_id
            """
        )
    }

    func insert(_ jobs: [NewJob]) async throws -> [Insertion] {
        let jobs = news.estimated(jobs)
        await tell(changesOf: jobs.map(\.accountID))
        if jobs.contains(where: { !$0.waitsFor.isEmpty }) { return try await DependentInsertion.run(jobs, in: self) }
        return try await JobInsertion.run(jobs, on: connection)
    }

    /// Tells after the commit that jobs of these accounts have changed.
    func tell(changesOf accounts: [AccountID]) async {
        if accounts.isEmpty { return }
        await connection.afterCommit { [news] in news.changed(Set(accounts)) }
    }

    func takeEventVersions(_ counts: [SignalID: Int]) async throws -> [SignalID: Int64] {
        if counts.isEmpty { return [:] }
        // In the order in which schedules are locked everywhere, so that two transactions never wait for each other.
        let signals = counts.keys.sorted()
        let rows = try await connection.query(
            """
            UPDATE schedules SET event_version = event_version + taken FROM (
                SELECT schedule_id, taken FROM schedules JOIN unnest(\(signals), \(signals.map { Int64(counts[$0] ?? 0) })) AS wanted (signal_id, taken)
                    USING (signal_id) ORDER BY schedule_id FOR NO KEY UPDATE OF schedules) AS locked
            WHERE schedules.schedule_id = locked.schedule_id RETURNING signal_id, event_version - taken + 1
            """
        )
        var first: [SignalID: Int64] = [:]
        for row in rows { first[try row.column(0)] = try row.column(1, as: Int64.self) }
        return first
    }

    func nextDueTimes(of signals: [SignalID]) async throws -> [SignalID: Timestamp] {
        if signals.isEmpty { return [:] }
        let rows = try await connection.query(
            "SELECT signal_id, next_due_at FROM schedules WHERE paused_at IS NULL AND next_due_at IS NOT NULL AND signal_id = ANY (\(signals))"
        )
        return Dictionary(try rows.map { (try $0.column(0), try $0.column(1)) }) { first, _ in first }
    }

    func say<Body: EventBody>(_ events: [(event: Body, subjectVersion: Int64)]) async throws {
        try await outbox.append(events, on: connection)
    }
}
