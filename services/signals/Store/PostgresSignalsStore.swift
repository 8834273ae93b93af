import Contracts
import Messaging
import Postgres
import ServiceRuntime

extension PostgresRow {
    /// A column that holds one of an enumeration's words.
    func word<Word: RawRepresentable>(_ position: Int, as _: Word.Type = Word.self) throws -> Word where Word.RawValue == String {
        guard let word = Word(rawValue: try column(position)) else {
            throw PostgresError(.decoding, message: "column \(position) holds no \(Word.self)")
        }
        return word
    }

    /// The same for a column that may be null.
    func optionalWord<Word: RawRepresentable>(_ position: Int, as _: Word.Type = Word.self) throws -> Word? where Word.RawValue == String {
        try column(position, as: String?.self) == nil ? nil : try word(position)
    }
}

/// The store that serves: tables of the schema `signals`, events through the outbox in the same transaction.
struct PostgresSignalsStore: SignalsStore {
    private enum Access {
        case pool(PostgresPool)
        /// Inside somebody's transaction, such as that of an inbox.
        case connection(PostgresConnection)
    }

    private let access: Access
    private let outbox: Outbox
    /// Where long computations go; without it everything is done where the call is.
    let cpu: CPUPool?

    init(pool: PostgresPool, outbox: Outbox, cpu: CPUPool? = nil) {
        self.init(.pool(pool), outbox: outbox, cpu: cpu)
    }

    private init(_ access: Access, outbox: Outbox, cpu: CPUPool?) {
        self.access = access
        self.outbox = outbox
        self.cpu = cpu
    }

    /// The same store inside a transaction that somebody else commits.
    func on(_ connection: PostgresConnection) -> PostgresSignalsStore {
        PostgresSignalsStore(.connection(connection), outbox: outbox, cpu: cpu)
    }

    func query(_ sql: SQL) async throws -> [PostgresRow] {
        switch access {
        case .pool(let pool): try await pool.query(sql)
        case .connection(let connection): try await connection.query(sql)
        }
    }

    /// Runs `body` in one transaction; what it said is on its way as soon as that has committed.
    func transaction<Outcome>(
        caller: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> Outcome
    ) async throws -> Outcome {
        switch access {
        case .pool(let pool):
            let outcome = try await pool.withTransaction { try await body($0) }
            outbox.poke()
            return outcome
        case .connection(let connection): return try await body(connection)
        }
    }

    /// Lends a store that sees everything as it stood at one moment, and can change nothing.
    func view<Outcome>(
        caller: isolated (any Actor)? = #isolation,
        _ body: (PostgresSignalsStore) async throws -> Outcome
    ) async throws -> Outcome {
        switch access {
        case .pool(let pool):
            try await pool.withTransaction(isolation: .repeatableRead, readOnly: true) { try await body(on($0)) }
        // Inside a transaction that is its owner's business.
        case .connection: try await body(self)
        }
    }

    func snapshot<Outcome>(_ body: (any SignalsStore) async throws -> Outcome) async throws -> Outcome {
        try await view { try await body($0) }
    }

    func say<Event: EventBody>(_ event: Event, version: Int64, on connection: PostgresConnection) async throws {
        _ = try await outbox.append(event, subjectVersion: version, on: connection)
    }

    /// The statement that says events, for who sends it along with others in the transaction of what they are about.
    func saying(_ events: [(event: any EventBody, subjectVersion: Int64)]) throws -> SQL { try outbox.insertion(of: events) }

    /// Lets readers' caches know that a signal's answers are different from now on.
    func raiseRevision(_ signalID: SignalID, on connection: PostgresConnection) async throws {
        try await connection.execute("UPDATE heads SET revision = revision + 1 WHERE signal_id = \(signalID)")
    }
}
