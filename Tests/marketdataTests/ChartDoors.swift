import Bars
import Contracts
import Cryptography
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport

@testable import marketdata

/// The routes of charts beside those of bars: real store, real tokens.
struct ChartDoors: Sendable {
    let store: PostgresMarketdataStore
    let pool: PostgresPool
    let bench: Bench
    let credentials: TestCredentials
    let router: Router
    let sessions: ChartSessions
    let bodies: ChartBodies
    let sweeper: ChartSweeper
    /// Counts how often the reader looks for a remembered answer: once for each question that it really answers.
    let lookups = GatedCache()
    let person = Person(roles: ["subscriber"])

    init(
        _ store: PostgresMarketdataStore,
        _ pool: PostgresPool,
        time: any TimeSource = SystemTimeSource(),
        limits: ChartLimits = ChartLimits(),
        results: (any ResultCache)? = nil,
        orders: ResampleOrders? = nil,
        fetchFirst: FetchFirst? = nil
    ) throws {
        self.store = store
        self.pool = pool
        lookups.open()
        bench = try Bench(store, time: time, results: results ?? lookups)
        credentials = try TestCredentials()
        let calendars = Calendars(store: store, time: time)
        let chartStore = ChartStore(pool: pool)
        sessions = ChartSessions(store: chartStore, keys: credentials.apiKeys, denied: credentials.denied, time: time, limits: limits)
        bodies = ChartBodies(maximumBytes: limits.cachedBytes)
        sweeper = ChartSweeper(sessions: sessions, bodies: bodies, time: time, loop: TestLoop.shared)
        let charts = Charts(
            store: chartStore,
            reader: bench.reader,
            marks: ChartMarks(store: store, calendars: calendars, time: time),
            bodies: bodies,
            cpu: bench.cpu,
            time: time,
            limits: limits,
            orders: orders
        )
        let routes = MarketdataRoutes(
            store: store,
            reader: bench.reader,
            importer: bench.importer,
            replays: Replays(store: store, reader: bench.reader, time: time, feed: nil),
            effects: PostgresEffects(store: store),
            calendars: bench.calendars,
            quality: bench.quality,
            time: time
        )
        var chartRoutes = ChartRoutes(
            sessions: sessions,
            charts: charts,
            datafeed: Datafeed(store: store, reader: bench.reader, calendars: calendars, time: time),
            time: time
        )
        chartRoutes.fetchFirst = fetchFirst
        var router = Router(problemOf: MarketdataRoutes.problem)
        let authentication = UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys)
        routes.addPublicRoutes(to: &router, authentication: authentication)
        chartRoutes.add(to: &router, authentication: authentication)
        self.router = router
    }

    /// Nobody in particular.
    var stranger: RequestClient { RequestClient(router: router) }

    /// A client with that person's access token.
    func client(_ person: Person, session: SessionID = .make(), version: Int64 = 1) throws -> RequestClient {
        let token = try credentials.token(user: person.userID, account: person.accountID, roles: person.roles) { claims in
            claims.sessionID = session
            claims.userVersion = version
        }
        return stranger.with(header: "Authorization", "Bearer \(token)")
    }

    /// A client with an API key.
    func client(key: APIKeyText) -> RequestClient { stranger.with(header: "X-API-Key", key.text) }

    /// A new chart session's token.
    func token(_ client: RequestClient? = nil) async throws -> String {
        let answer = try await (client ?? self.client(person)).get("/utils/session/initiate")
        guard let token = try answer.json()["session_token"]?.string else { throw TestSupportError("no session: \(answer.text)") }
        return token
    }

    /// `/historical/` with these parameters.
    func historical(_ token: String, _ symbol: String, _ interval: String, _ start: String, _ end: String) async throws -> RequestClient.Answer {
        try await stranger.get("/historical/?session_token=\(token)&symbol=\(symbol)&interval=\(interval)&start=\(start)&end=\(end)")
    }

    /// The datafeed's answer.
    func udf(_ path: String) async throws -> JSONValue { try await client(person).get("/udf/\(path)").json() }

    /// How many rows there are.
    func count(_ table: String) async throws -> Int {
        try await pool.query("SELECT (SELECT count(*) FROM chart_sessions), (SELECT count(*) FROM chart_requests)")[0]
            .column(table == "chart_sessions" ? 0 : 1)
    }
}

/// Lends the doors of charts over a store of their own.
func withChartDoors(
    time: any TimeSource = SystemTimeSource(),
    limits: ChartLimits = ChartLimits(),
    _ body: (ChartDoors) async throws -> Void
) async throws {
    try await withPostgresStore { store, pool in try await body(try ChartDoors(store, pool, time: time, limits: limits)) }
}

/// An instrument of a class on a calendar.
func listed(_ symbol: String, _ assetClass: AssetClass, _ calendar: ExchangeCalendar, tick: String? = nil) -> Instrument {
    Instrument(
        id: .make(),
        symbol: symbol,
        assetClass: assetClass,
        calendar: calendar.name,
        timeZone: calendar.timeZone,
        tickSize: tick.flatMap { DecimalText($0) },
        lotSize: nil,
        volumeUnit: assetClass.usualVolumeUnit,
        baseIntervalSeconds: nil,
        feed: .live,
        replayOf: nil,
        active: true,
        version: 1,
        createdAt: at("2026-01-01T00:00:00Z")
    )
}

/// Bars of any length as a headed file: one at each of these times (UTC), the close counting up from `first`.
func rows(at times: [Timestamp], first: Int = 100) -> String {
    var lines = ["time,open,high,low,close,volume"]
    for (index, time) in times.enumerated() {
        let price = first + index
        lines.append("\(time.iso8601.prefix(19)),\(price),\(price).75,\(price - 1).5,\(price).25,\(index % 9 + 1)")
    }
    return lines.joined(separator: "\n") + "\n"
}

/// Times from one to another, so many seconds apart.
func times(from start: String, to end: String, every seconds: Int) -> [Timestamp] {
    var found: [Timestamp] = []
    var time = at(start)
    while time < at(end) {
        found.append(time)
        time += .seconds(seconds)
    }
    return found
}
