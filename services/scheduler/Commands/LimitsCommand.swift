import Contracts
import Messaging
import Postgres
import ServiceRuntime

/// `scheduler limits`: what single accounts may have at once, where it differs from the settings.
enum LimitsCommand {
    static let subcommand = Subcommand<SchedulerSettings>(
        name: "limits",
        help: "what accounts may have at once: lists; ACCOUNT [class=C] [running=N] [open=N] [priority=P] sets; ACCOUNT none clears"
    ) { words, settings in
        let change = try Change(words)
        let settings = try settings()
        let loop = try EventLoop.start(name: "command")
        let pool = PostgresPool(
            configuration: PostgresSchedulerStore.configuration(url: settings.database.url, maximumConnections: 1),
            loops: [loop]
        )
        try await pool.start()
        let store = PostgresSchedulerStore(pool: pool, outbox: Outbox(schema: Migrations.schema))
        let lines: Result<[AccountLimitRow], any Error>
        do {
            lines = .success(
                try await loop.run {
                    try await change.apply(to: store)
                    return try await store.accountLimits()
                }
            )
        } catch {
            lines = .failure(error)
        }
        await pool.stop()
        await loop.stop()
        for row in try lines.get() { print(row.line) }
        return 0
    }

    /// What the words ask for.
    enum Change: Sendable, Hashable {
        case nothing
        case clear(AccountID)
        case set(AccountLimitRow)

        init(_ words: [String]) throws {
            guard let first = words.first else {
                self = .nothing
                return
            }
            guard let account = AccountID(first), words.count > 1 else {
                throw CommandError(message: "ACCOUNT and what it may have would be right, such as: limits \(AccountID.platform) running=4")
            }
            if words.dropFirst() == ["none"] {
                self = .clear(account)
                return
            }
            var row = AccountLimitRow(accountID: account)
            for word in words.dropFirst() {
                let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
                switch (parts.first, parts.last.flatMap { Int32($0) }, parts.last) {
                case ("class", _, let name?) where ResourceClass(rawValue: name) != nil: row.resourceClass = ResourceClass(rawValue: name)
                case ("running", let number?, _) where number >= 0 && parts.count == 2: row.running = Int(number)
                case ("open", let number?, _) where number >= 0 && parts.count == 2: row.open = Int(number)
                case ("priority", _, let name?) where Priority(rawValue: name).map { $0 < .urgent } == true:
                    row.priorityCap = Priority(rawValue: name)
                default: throw CommandError(message: "'\(word)' is none of class=C, running=N, open=N, priority=low|normal|high")
                }
            }
            guard row.resourceClass == nil || (row.open == nil && row.priorityCap == nil) else {
                throw CommandError(message: "open and priority are of all classes together")
            }
            self = .set(row)
        }

        func apply(to store: PostgresSchedulerStore) async throws {
            switch self {
            case .nothing: break
            case .clear(let account): try await store.clearLimits(of: account)
            case .set(let row): try await store.set(row)
            }
        }
    }
}
