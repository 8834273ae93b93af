internal import ServiceRuntime
internal import Synchronization

/// Counts the statements that a pool's connections send: for one pool, and for the process's figures.
final class StatementCount: Sendable {
    private let own = Atomic<Int>(0)
    private let exchanges = Atomic<Int>(0)
    private let sent: Counter

    init(pool: String) {
        sent = Metrics.shared.counter("auspex_postgres_statements_total", help: "Statements sent, BEGIN and COMMIT included.", labels: ["pool": pool])
    }

    var current: Int { own.load(ordering: .relaxed) }
    var currentExchanges: Int { exchanges.load(ordering: .relaxed) }

    /// Takes statements that went out together.
    func add(_ statements: Int) {
        own.wrappingAdd(statements, ordering: .relaxed)
        exchanges.wrappingAdd(1, ordering: .relaxed)
        sent.increment(by: statements)
    }
}
