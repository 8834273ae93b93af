import Bars
import Contracts
import Messaging
import Postgres
import ServiceRuntime

/// The store in Postgres, schema `marketdata`, as the role `marketdata_app`.
final class PostgresMarketdataStore: MarketdataStore {
    static let schema = "marketdata"

    let pool: PostgresPool
    let outbox: Outbox
    /// Merging and compressing days is too much for a loop.
    let cpu: CPUPool

    init(pool: PostgresPool, outbox: Outbox, cpu: CPUPool) {
        self.pool = pool
        self.outbox = outbox
        self.cpu = cpu
    }

    // MARK: Instruments

    func instrument(symbol: String) async throws -> Instrument? {
        try await pool.read(
            """
            SELECT id, symbol, asset_class, calendar, time_zone, tick_size, lot_size, volume_unit, base_interval_seconds, feed, replay_of, active,
                version, created_at
            FROM instruments WHERE symbol = \(symbol)
            """
        ).first.map(Self.instrument)
    }

    func instrument(id: InstrumentID) async throws -> Instrument? {
        try await pool.read(
            """
            SELECT id, symbol, asset_class, calendar, time_zone, tick_size, lot_size, volume_unit, base_interval_seconds, feed, replay_of, active,
                version, created_at
            FROM instruments WHERE id = \(id)
            """
        ).first.map(Self.instrument)
    }

    func description(of symbol: String) async throws -> InstrumentDescription? {
        // One statement, one round trip: this is the service's most frequent question.
        let rows = try await pool.read(
            """
            SELECT i.id, i.symbol, i.asset_class, i.calendar, i.time_zone, i.tick_size, i.lot_size, i.volume_unit, i.base_interval_seconds, i.feed,
                i.replay_of, i.active, i.version, i.created_at, s.interval_seconds, s.side, s.origin, s.first_day, s.last_day, s.first_end
            FROM instruments i LEFT JOIN series s ON s.instrument_id = coalesce(i.replay_of, i.id)
            WHERE i.symbol = \(symbol) ORDER BY s.interval_seconds, s.side, s.origin
            """
        )
        return try Self.description(rows)
    }

    /// An instrument with its series, one a row.
    static func description(_ rows: [PostgresRow]) throws -> InstrumentDescription? {
        guard let first = rows.first else { return nil }
        var series: [StoredSeries] = []
        for row in rows {
            guard let seconds = try row.column(14, as: Int?.self) else { continue }
            series.append(
                StoredSeries(
                    key: SeriesKey(intervalSeconds: seconds, side: try row.column(15), origin: try row.column(16)),
                    firstDay: try row.column(17),
                    lastDay: try row.column(18),
                    firstEnd: try row.column(19, as: Timestamp.self).microseconds
                )
            )
        }
        return InstrumentDescription(instrument: try instrument(first), series: series)
    }

    func instruments(after symbol: String?, containing text: String?, assetClass: AssetClass?, limit: Int) async throws -> [Instrument] {
        let classes = assetClass?.storedWords
        return try await pool.query(
            """
            SELECT id, symbol, asset_class, calendar, time_zone, tick_size, lot_size, volume_unit, base_interval_seconds, feed, replay_of, active,
                version, created_at
            FROM instruments
            WHERE symbol COLLATE "C" > \(symbol ?? "") AND (\(text)::text IS NULL OR position(\(text)::text IN symbol) > 0)
                AND (\(classes)::text[] IS NULL OR asset_class = ANY (\(classes)::text[]))
            ORDER BY symbol COLLATE "C" LIMIT \(limit)
            """
        ).map(Self.instrument)
    }

    func create(_ instrument: Instrument) async throws {
        do {
            try await pool.withTransaction { connection in try await insert(instrument, on: connection) }
        } catch let error as PostgresError where error.isUniqueViolation(of: "instruments_symbol_key") {
            throw MarketdataError.symbolTaken(instrument.symbol)
        }
        outbox.poke()
    }

    func insert(_ instrument: Instrument, on connection: PostgresConnection) async throws {
        _ = try await connection.execute(
            """
            INSERT INTO instruments (id, symbol, asset_class, calendar, time_zone, tick_size, lot_size, volume_unit, base_interval_seconds, feed,
                replay_of, active, version, created_at)
            VALUES (\(instrument.id), \(instrument.symbol), \(instrument.assetClass), \(instrument.calendar), \(instrument.timeZone),
                \(instrument.tickSize), \(instrument.lotSize), \(instrument.volumeUnit), \(instrument.baseIntervalSeconds),
                \(instrument.feed.rawValue), \(instrument.replayOf), \(instrument.active), \(instrument.version), \(instrument.createdAt))
            """
        )
        try await announce(instrument, on: connection)
    }

    func announce(_ instrument: Instrument, on connection: PostgresConnection) async throws {
        let event = InstrumentChanged(
            instrumentID: instrument.id,
            symbol: instrument.symbol,
            assetClass: instrument.assetClass.rawValue,
            feed: instrument.feed,
            active: instrument.active
        )
        _ = try await outbox.append(event, subjectVersion: instrument.version, on: connection)
    }

    static func instrument(_ row: PostgresRow) throws -> Instrument {
        let (id, symbol, assetClass, calendar, zone, tick, lot, unit, base, feed, replayOf, active, version, createdAt) = try row.decode(
            InstrumentID.self,
            String.self,
            AssetClass.self,
            String.self,
            String.self,
            DecimalText?.self,
            DecimalText?.self,
            VolumeUnit.self,
            Int?.self,
            String.self,
            InstrumentID?.self,
            Bool.self,
            Int64.self,
            Timestamp.self
        )
        return Instrument(
            id: id,
            symbol: symbol,
            assetClass: assetClass,
            calendar: calendar,
            timeZone: zone,
            tickSize: tick,
            lotSize: lot,
            volumeUnit: unit,
            baseIntervalSeconds: base,
            feed: FeedKind(rawValue: feed) ?? .live,
            replayOf: replayOf,
            active: active,
            version: version,
            createdAt: createdAt
        )
    }

    // MARK: Calendars

    func calendar(named name: String) async throws -> ExchangeCalendar? {
        try await pool.query("SELECT definition FROM calendars WHERE name = \(name)").first?.column(0, as: PostgresJSON.self)
            .decode(ExchangeCalendar.self)
    }

    func save(_ calendars: [ExchangeCalendar]) async throws {
        try await pool.withTransaction { connection in
            for calendar in calendars {
                _ = try await connection.execute(
                    """
                    INSERT INTO calendars (name, definition, recorded_at)
                    VALUES (\(calendar.name), \(try PostgresJSON(encoding: calendar)), clock_timestamp())
                    ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, recorded_at = excluded.recorded_at
                    """
                )
            }
        }
    }

    // MARK: Watches

    func watchedIntervals(of instrument: InstrumentID) async throws -> [Int] {
        try await pool.query("SELECT DISTINCT interval_seconds FROM watches WHERE instrument_id = \(instrument) ORDER BY interval_seconds")
            .map { try $0.column(0) }
    }

    func replaceWatches(of caller: String, with watches: [Watch]) async throws -> Set<String> {
        try await pool.withTransaction { connection -> Set<String> in
            // One caller's replicas may send their sets at once; the last one stands whole.
            _ = try await connection.query("SELECT pg_advisory_xact_lock(hashtextextended(\("marketdata-watches:" + caller), 0))")
            let rows = try await connection.query("SELECT symbol, id FROM instruments WHERE symbol = ANY(\(Array(Set(watches.map(\.symbol)))))")
            var ids: [String: InstrumentID] = [:]
            for row in rows {
                let (symbol, id) = try row.decode(String.self, InstrumentID.self)
                ids[symbol] = id
            }
            var instruments: [InstrumentID] = []
            var intervals: [Int64] = []
            var unknown: Set<String> = []
            for watch in watches {
                guard let id = ids[watch.symbol] else {
                    unknown.insert(watch.symbol)
                    continue
                }
                instruments.append(id)
                intervals.append(Int64(watch.intervalSeconds))
            }
            _ = try await connection.execute("DELETE FROM watches WHERE caller = \(caller)")
            _ = try await connection.execute(
                """
                INSERT INTO watches (caller, instrument_id, interval_seconds)
                SELECT DISTINCT \(caller), instrument_id, interval_seconds
                FROM unnest(\(instruments)::uuid[], \(intervals)::bigint[]) AS wanted (instrument_id, interval_seconds)
                """
            )
            return unknown
        }
    }
}
