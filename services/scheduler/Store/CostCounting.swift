import Contracts
import Postgres

/// Counts what jobs cost, in the transaction that ends their attempts: what is not committed is not counted, what is committed is counted once.
enum CostCounting {
    /// How many rows one account, day and kind has: sessions that end jobs at the same moment mostly add to another one each.
    static let slots = 16

    static func adding(_ costs: [CostKey: JobCost]) -> SQL? {
        // In one order everywhere, so that two transactions never wait for each other.
        let keys = costs.keys.filter { costs[$0] != JobCost() }.sorted()
        if keys.isEmpty { return nil }
        let sums = keys.map { costs[$0] ?? JobCost() }
        return """
            INSERT INTO job_costs (account_id, day, kind, slot, jobs, attempts, cpu_microseconds, memory_mib_ms, bytes_in, bytes_out)
            SELECT account_id, (clock_timestamp() AT TIME ZONE 'UTC')::date, kind, pg_backend_pid() % \(Int32(slots)), jobs, attempts, cpu, memory, taken, brought
            FROM unnest(\(keys.map(\.account)), \(keys.map(\.kind.rawValue)), \(sums.map(\.jobs)), \(sums.map(\.attempts)), \(sums.map(\.cpuMicroseconds)),
                \(sums.map(\.memoryMiBMilliseconds)), \(sums.map(\.bytesIn)), \(sums.map(\.bytesOut)))
                AS new (account_id, kind, jobs, attempts, cpu, memory, taken, brought)
            ON CONFLICT (account_id, day, kind, slot) DO UPDATE SET
                jobs = job_costs.jobs + excluded.jobs, attempts = job_costs.attempts + excluded.attempts,
                cpu_microseconds = job_costs.cpu_microseconds + excluded.cpu_microseconds,
                memory_mib_ms = job_costs.memory_mib_ms + excluded.memory_mib_ms,
                bytes_in = job_costs.bytes_in + excluded.bytes_in, bytes_out = job_costs.bytes_out + excluded.bytes_out
            """
    }
}

/// What jobs have cost, by whom, for what and when.
struct CostStore: Sendable {
    let pool: PostgresPool

    /// What the sums are taken by.
    enum Grouping: String, Sendable, CaseIterable {
        case kind, day, account
    }

    /// A sum, and what it is of.
    struct Sum: Sendable, Hashable {
        let group: String
        let cost: JobCost
    }

    /// Sums of the days from `from` to `to`, both included, in the order of what they are of; nil stands for all accounts, and for all kinds.
    func sums(by grouping: Grouping, from: CivilDate, to: CivilDate, account: AccountID?, kinds: [JobKind]?) async throws -> [Sum] {
        let group: SQL =
            switch grouping {
            case .kind: "kind"
            case .day: "to_char(day, 'YYYY-MM-DD')"
            case .account: "account_id::text"
            }
        var sql: SQL = """
            SELECT \(group), sum(jobs)::bigint, sum(attempts)::bigint, sum(cpu_microseconds)::bigint, sum(memory_mib_ms)::bigint, sum(bytes_in)::bigint,
                sum(bytes_out)::bigint
            FROM job_costs WHERE day BETWEEN \(from.description)::text::date AND \(to.description)::text::date
            """
        if let account { sql.append(" AND account_id = \(account)") }
        if let kinds { sql.append(" AND kind = ANY (\(kinds.map(\.rawValue)))") }
        sql.append(" GROUP BY 1 ORDER BY 1")
        return try await pool.query(sql).map { row in
            let cost = JobCost(
                jobs: try row.column(1),
                attempts: try row.column(2),
                cpuMicroseconds: try row.column(3),
                memoryMiBMilliseconds: try row.column(4),
                bytesIn: try row.column(5),
                bytesOut: try row.column(6)
            )
            return Sum(group: try row.column(0), cost: cost)
        }
    }
}
