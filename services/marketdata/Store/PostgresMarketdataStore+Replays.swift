import Contracts
import Messaging
import Postgres

extension PostgresMarketdataStore {
    func createReplay(_ draft: ReplayDraft, within limits: ReplayLimits) async throws -> Replay {
        let replay = try await pool.withTransaction { connection in try await create(draft, within: limits, on: connection) }
        outbox.poke()
        return replay
    }

    func finishReplay(_ id: ReplayID, next: ReplayDraft?) async throws -> Replay? {
        let replay = try await pool.withTransaction { connection -> Replay? in
            let finished = try await connection.execute("UPDATE replays SET state = 'finished' WHERE id = \(id) AND state = 'running'")
            guard finished == 1, let next else { return nil }
            // One ends and one begins: their number stays the same.
            return try await create(next, within: nil, on: connection)
        }
        if replay != nil { outbox.poke() }
        return replay
    }

    func create(_ draft: ReplayDraft, within limits: ReplayLimits?, on connection: PostgresConnection) async throws -> Replay {
        // The source's row lock makes the numbers gapless.
        let row = try await connection.query(
            """
            SELECT id, symbol, asset_class, calendar, time_zone, tick_size, lot_size, volume_unit, base_interval_seconds, feed, replay_of, active,
                version, created_at
            FROM instruments WHERE id = \(draft.sourceInstrumentID) FOR UPDATE
            """
        ).first
        guard let row else { throw MarketdataError.unknownInstrument(draft.sourceInstrumentID.description) }
        let source = try Self.instrument(row)
        if let limits { try limits.admit(running: try await runningReplays(of: draft.accountID, on: connection)) }
        // The time is read after the lock, which imports hold to their end: every correction is stamped before it and seen, or after it and not.
        let (number, now) =
            try await connection.query(
                "SELECT coalesce(max(number), 0) + 1, clock_timestamp() FROM replays WHERE source_instrument_id = \(source.id)"
            ).first?.decode(Int.self, Timestamp.self) ?? (1, draft.createdAt)
        var instrument = source
        instrument.id = draft.instrumentID
        instrument.symbol = InstrumentSymbol.replay(of: source.symbol, number: number)
        instrument.feed = .replay
        instrument.replayOf = source.id
        instrument.baseIntervalSeconds = draft.baseIntervalSeconds
        instrument.version = 1
        instrument.createdAt = draft.createdAt
        try await insert(instrument, on: connection)
        _ = try await connection.execute(
            """
            INSERT INTO replays (id, instrument_id, source_instrument_id, number, account_id, state, base_interval_seconds, speed, loops, starts_at,
                ends_at, revisions_as_of, released_through, created_at)
            VALUES (\(draft.id), \(draft.instrumentID), \(source.id), \(number), \(draft.accountID), \(Replay.State.running),
                \(draft.baseIntervalSeconds), \(draft.speed), \(draft.loops), \(draft.startsAt), \(draft.endsAt), \(draft.revisionsAsOf ?? now),
                \(draft.startsAt), \(draft.createdAt))
            """
        )
        // What was before the start is known from the beginning: a model needs its lookback.
        _ = try await connection.execute(
            """
            INSERT INTO replay_releases (replay_id, known_at, released_through, bars)
            VALUES (\(draft.id), \(draft.createdAt), \(draft.startsAt), 0)
            """
        )
        let made = try await connection.query(Self.selectReplays + "WHERE r.id = \(draft.id)").first
        guard let made else { throw MarketdataError.unknownReplay }
        return try Self.replay(made)
    }

    func replay(id: ReplayID) async throws -> Replay? {
        try await pool.read(Self.selectReplays + "WHERE r.id = \(id)").first.map(Self.replay)
    }

    func replay(_ id: ReplayID, on connection: PostgresConnection) async throws -> Replay? {
        try await connection.query(Self.selectReplays + "WHERE r.id = \(id)").first.map(Self.replay)
    }

    func replay(instrument: InstrumentID) async throws -> Replay? {
        try await pool.read(Self.selectReplays + "WHERE r.instrument_id = \(instrument)").first.map(Self.replay)
    }

    func replays(after id: ReplayID?, limit: Int) async throws -> [Replay] {
        try await pool.query(Self.selectReplays + "WHERE (\(id)::uuid IS NULL OR r.id < \(id)::uuid) ORDER BY r.id DESC LIMIT \(limit)")
            .map(Self.replay)
    }

    func claimReplays(runner: String, leaseSeconds: Int) async throws -> [Replay] {
        try await pool.query(
            """
            WITH claimed AS (
                UPDATE replays SET runner = \(runner), lease_until = clock_timestamp() + make_interval(secs => \(Double(leaseSeconds)))
                WHERE id IN (
                    SELECT id FROM replays
                    WHERE state = 'running' AND (lease_until < clock_timestamp() OR runner = \(runner))
                    ORDER BY lease_until LIMIT 100 FOR UPDATE SKIP LOCKED)
                RETURNING id)
            \(Self.selectReplays) WHERE r.id IN (SELECT id FROM claimed)
            """
        ).map(Self.replay)
    }

    func renewReplay(_ id: ReplayID, runner: String, leaseSeconds: Int) async throws -> Replay? {
        let renewed = try await pool.execute(
            """
            UPDATE replays SET lease_until = clock_timestamp() + make_interval(secs => \(Double(leaseSeconds)))
            WHERE id = \(id) AND runner = \(runner) AND state = 'running'
            """
        )
        return renewed == 1 ? try await replay(id: id) : nil
    }

    func releaseLease(of id: ReplayID, runner: String) async throws {
        _ = try await pool.execute("UPDATE replays SET lease_until = '-infinity' WHERE id = \(id) AND runner = \(runner)")
    }

    func changeReplay(_ id: ReplayID, from: Set<Replay.State>, to: Replay.State) async throws -> Replay? {
        try await pool.withTransaction { try await changeReplay(id, from: from, to: to, on: $0) }
    }

    func changeReplay(_ id: ReplayID, from: Set<Replay.State>, to: Replay.State, on connection: PostgresConnection) async throws -> Replay? {
        let changed = try await connection.execute(
            "UPDATE replays SET state = \(to) WHERE id = \(id) AND state = ANY(\(from.map(\.rawValue)))"
        )
        return changed == 1 ? try await replay(id, on: connection) : nil
    }

    func resumeReplay(_ id: ReplayID, within limits: ReplayLimits) async throws -> Replay? {
        try await pool.withTransaction { try await resumeReplay(id, within: limits, on: $0) }
    }

    func resumeReplay(_ id: ReplayID, within limits: ReplayLimits, on connection: PostgresConnection) async throws -> Replay? {
        let account = try await connection.query("SELECT account_id FROM replays WHERE id = \(id) AND state = 'paused' FOR UPDATE").first
        guard let account else { return nil }
        try limits.admit(running: try await runningReplays(of: account.column(0), on: connection))
        _ = try await connection.execute("UPDATE replays SET state = 'running' WHERE id = \(id)")
        return try await replay(id, on: connection)
    }

    /// How many replays run, counted under a lock that is held until one more has been added. It is taken after the rows' own locks.
    private func runningReplays(of account: AccountID, on connection: PostgresConnection) async throws -> (own: Int, all: Int) {
        let counted = try await connection.pipeline([
            "SELECT pg_advisory_xact_lock(hashtextextended('marketdata-running-replays', 0))",
            "SELECT count(*) FILTER (WHERE account_id = \(account)), count(*) FROM replays WHERE state = 'running'",
        ])
        return try counted[1].first?.decode(Int.self, Int.self) ?? (0, 0)
    }

    func release(_ step: ReplayStep, runner: String) async throws -> Timestamp? {
        let knownAt = try await pool.withTransaction { connection -> Timestamp? in
            let row = try await connection.query(
                """
                SELECT r.instrument_id, i.symbol FROM replays r JOIN instruments i ON i.id = r.instrument_id
                WHERE r.id = \(step.replayID) AND r.state = 'running' AND r.runner = \(runner) AND r.lease_until > clock_timestamp()
                    AND r.released_through = \(step.from)
                FOR UPDATE OF r
                """
            ).first
            guard let row else { return nil }
            let (instrument, symbol) = try row.decode(InstrumentID.self, String.self)
            // The stamp is read under the recording lock, which readers await: none looks between it and the commit.
            let stamp = try await connection.pipeline([
                Self.lockRecording(of: step.replayID.description),
                """
                SELECT greatest(clock_timestamp(), max(known_at) + interval '1 microsecond') FROM replay_releases WHERE replay_id = \(step.replayID)
                """,
            ])
            guard let knownAt = try stamp[1].first?.column(0, as: Timestamp.self) else { return nil }
            let changes: [SQL] = [
                """
                INSERT INTO replay_releases (replay_id, known_at, released_through, bars)
                VALUES (\(step.replayID), \(knownAt), \(step.through), \(step.bars))
                """,
                """
                UPDATE replays SET released_through = \(step.through), released_bars = released_bars + \(Int64(step.bars)) WHERE id = \(step.replayID)
                """,
            ]
            _ = try await connection.pipeline(changes + KnowledgeNotice.send(knownAt: knownAt, instruments: [instrument]))
            for close in step.closes {
                let bar = ClosedBar(instrumentID: instrument, symbol: symbol, feed: .replay, revision: close.revision, bar: close.bar)
                let event = BarsClosed(intervalSeconds: close.intervalSeconds, closeAt: step.through, knownAt: knownAt, bars: [bar])
                // Several replays may close the same recorded minute: the moment of knowledge tells their versions apart.
                _ = try await outbox.append(event, subjectVersion: knownAt.microseconds, on: connection)
            }
            return knownAt
        }
        if knownAt != nil, !step.closes.isEmpty { outbox.poke() }
        return knownAt
    }

    func releasedThrough(_ id: ReplayID, at moment: Timestamp) async throws -> Timestamp? {
        try await pool.pipeline([
            Self.awaitRecording(of: id.description),
            """
            SELECT released_through FROM replay_releases WHERE replay_id = \(id) AND known_at <= \(moment) ORDER BY known_at DESC LIMIT 1
            """,
        ])[1].first?.column(0, as: Timestamp.self)
    }

    func replayed(by instrument: InstrumentID, at moment: Timestamp) async throws -> ReplayedInstrument? {
        let row = try await pool.pipeline([
            // The same lock as `awaitRecording(of:)` takes, of the replay that is only known by its instrument here. It is there to be found: instrument and
            // replay are committed together (`create`), so whoever was shown the one sees the other.
            """
            SELECT pg_advisory_xact_lock_shared(hashtextextended('marketdata-recording:' || r.id::text, 0)) FROM replays r
            WHERE r.instrument_id = \(instrument)
            """,
            """
            SELECT s.id, s.symbol, s.asset_class, s.calendar, s.time_zone, s.tick_size, s.lot_size, s.volume_unit, s.base_interval_seconds, s.feed,
                s.replay_of, s.active, s.version, s.created_at, r.revisions_as_of,
                (SELECT known.released_through FROM replay_releases known WHERE known.replay_id = r.id AND known.known_at <= \(moment)
                 ORDER BY known.known_at DESC LIMIT 1)
            FROM replays r JOIN instruments s ON s.id = r.source_instrument_id WHERE r.instrument_id = \(instrument)
            """,
        ])[1].first
        guard let row else { return nil }
        return ReplayedInstrument(source: try Self.instrument(row), revisionsAsOf: try row.column(14), through: try row.column(15))
    }

    private static var selectReplays: SQL {
        """
        SELECT r.id, r.instrument_id, i.symbol, r.source_instrument_id, s.symbol, r.number, r.account_id, r.state, r.base_interval_seconds, r.speed,
            r.loops, r.starts_at, r.ends_at, r.revisions_as_of, r.released_through, r.released_bars, r.created_at
        FROM replays r JOIN instruments i ON i.id = r.instrument_id JOIN instruments s ON s.id = r.source_instrument_id\u{20}
        """
    }

    private static func replay(_ row: PostgresRow) throws -> Replay {
        let (
            id, instrument, symbol, source, sourceSymbol, number, account, state, base, speed, loops, starts, ends, revisions, through, bars, created
        ) =
            try row.decode(
                ReplayID.self,
                InstrumentID.self,
                String.self,
                InstrumentID.self,
                String.self,
                Int.self,
                AccountID.self,
                Replay.State.self,
                Int.self,
                Double.self,
                Bool.self,
                Timestamp.self,
                Timestamp?.self,
                Timestamp.self,
                Timestamp.self,
                Int64.self,
                Timestamp.self
            )
        return Replay(
            id: id,
            instrumentID: instrument,
            symbol: symbol,
            sourceInstrumentID: source,
            sourceSymbol: sourceSymbol,
            number: number,
            accountID: account,
            state: state,
            baseIntervalSeconds: base,
            speed: speed,
            loops: loops,
            startsAt: starts,
            endsAt: ends,
            revisionsAsOf: revisions,
            releasedThrough: through,
            releasedBars: bars,
            createdAt: created
        )
    }
}
