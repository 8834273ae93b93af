import Contracts
import Messaging
import Postgres
import Schedules
import ServiceRuntime

/// `scheduler audit`: this service's part of the proof that nothing was lost and nothing doubled.
enum AuditCommand {
    static let subcommand = Subcommand<SchedulerSettings>(
        name: "audit",
        help: "checks that nothing was lost and nothing doubled; a line a check, exit code 1"
    ) { words, settings in
        guard words.isEmpty else { throw CommandError(message: "audit takes no arguments") }
        let settings = try settings()
        let loop = try EventLoop.start(name: "command")
        var configuration = PostgresSchedulerStore.configuration(url: settings.database.url, maximumConnections: 1)
        configuration.statementTimeout = .seconds(120)
        let pool = PostgresPool(configuration: configuration, loops: [loop])
        try await pool.start()
        let store = PostgresSchedulerStore(pool: pool, outbox: Outbox(schema: Migrations.schema))
        let checks: Result<[Check], any Error>
        do {
            checks = .success(try await loop.run { try await run(on: store, now: .now()) })
        } catch {
            checks = .failure(error)
        }
        await pool.stop()
        await loop.stop()
        for check in try checks.get() { print(check.line) }
        return try checks.get().allSatisfy(\.faults.isEmpty) ? 0 : 1
    }

    /// How far back due times are counted.
    static let reach = Duration.seconds(30 * 86_400)

    /// One check with what it found.
    struct Check: Sendable, Hashable {
        let name: String
        let faults: [String]

        /// The line that is printed.
        var line: String {
            guard !faults.isEmpty else { return "ok    scheduler: \(name)" }
            return "BAD   scheduler: \(name): \(faults.prefix(3).joined(separator: "; "))\(faults.count > 3 ? "; and \(faults.count - 3) more" : "")"
        }
    }

    static func run(on store: PostgresSchedulerStore, now: Timestamp) async throws -> [Check] {
        var faults: [String] = []
        let since = now - reach
        var known = KnownMarkets(store: store)
        for (era, workedOffTo) in try await store.eras(since: since) {
            let from = max(era.from, since)
            let to = min(era.to ?? workedOffTo, workedOffTo)
            let occurrences = try await store.occurrences(of: era.scheduleID, after: from, through: to)
            let market = DueTimes.market(of: era.cadence, era.policy)
            let sessions = try await known.sessions(of: market)
            faults += GridAudit.faults(of: era, from: from, to: to, occurrences: occurrences, sessions: sessions)
        }
        var checks = [Check(name: "every due time has one occurrence with one outcome", faults: faults)]
        let lastWeek = CivilDate(daysSince1970: CivilDate(of: now).daysSince1970 - 7)
        checks.append(
            Check(name: "the counts of a day are those of its occurrences", faults: try await CadenceStore(store: store).faults(since: lastWeek))
        )
        for (name, found) in try await store.jobFaults().sorted(by: { $0.key < $1.key }) { checks.append(Check(name: name, faults: found)) }
        return checks
    }
}

/// What is known of markets, each read once.
private struct KnownMarkets {
    let store: PostgresSchedulerStore
    private var known: [String: MarketSessions] = [:]

    init(store: PostgresSchedulerStore) { self.store = store }

    mutating func sessions(of market: String?) async throws -> MarketSessions {
        guard let market else { return .unknown }
        if let found = known[market] { return found }
        let read = try await store.market(market)?.sessions ?? .unknown
        known[market] = read
        return read
    }
}
