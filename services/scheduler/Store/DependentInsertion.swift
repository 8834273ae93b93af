import Contracts
import Postgres

/// Writes jobs of which some wait for others, and what they wait for; runs in a transaction.
///
/// The jobs that are named are locked until the commit, so none of them ends unseen: who ends one later finds the rows that are written here.
enum DependentInsertion {
    static func run(_ jobs: [NewJob], in transaction: PostgresSchedulerTransaction) async throws -> [Insertion] {
        let connection = transaction.connection
        let own = Set(jobs.map(\.id))
        let named = Set(jobs.flatMap { $0.waitsFor.map(\.on) }).subtracting(own)
        var known = try await lockedStates(of: named, on: connection)
        // Those that stand before it among those that are written with it are known as well.
        var refused: [JobID: JobID] = [:]
        var earlier: [JobID: AccountID] = [:]
        for job in jobs {
            let unknown = job.distinctWaits.first { wait in
                guard let owner = earlier[wait.on] ?? known[wait.on]?.account else { return true }
                return !job.mayWait(for: owner)
            }
            if let unknown { refused[job.id] = unknown.on } else { earlier[job.id] = job.accountID }
        }
        let accepted = jobs.filter { refused[$0.id] == nil }
        let insertions = try await JobInsertion.run(accepted, on: connection)

        // Some of those that are written with them may have been there already, under another id, and may have ended.
        var ids: [JobID: JobID] = [:]
        var created: [NewJob] = []
        for (job, insertion) in zip(accepted, insertions) {
            switch insertion {
            case .created: created.append(job)
            case .existing(let id), .keyReused(let id): ids[job.id] = id
            case .unknownDependency, .queueFull: break
            }
        }
        known.merge(try await lockedStates(of: Set(ids.values), on: connection)) { old, _ in old }
        let waits = created.flatMap { job in job.distinctWaits.map { (job.id, ids[$0.on] ?? $0.on, $0.condition) } }
        if !waits.isEmpty {
            try await connection.execute(
                """
                INSERT INTO job_dependencies (job_id, on_job_id, condition)
                SELECT * FROM unnest(\(waits.map(\.0)), \(waits.map(\.1)), \(waits.map(\.2)))
                """
            )
            let ended = Set(waits.map(\.1)).filter { known[$0]?.state.isTerminal == true }
            let states = Dictionary(uniqueKeysWithValues: ended.map { ($0, known[$0]?.state ?? .failed) })
            try await JobUnblocking.letGo(of: states, only: Set(created.map(\.id)), in: transaction)
        }
        return try await merged(jobs, insertions, refused, on: connection)
    }

    private static func lockedStates(of ids: Set<JobID>, on connection: PostgresConnection) async throws
        -> [JobID: (account: AccountID, state: JobState)]
    {
        if ids.isEmpty { return [:] }
        let rows = try await connection.query(
            "SELECT job_id, account_id, state FROM ONLY jobs WHERE job_id = ANY (\(ids.sorted())) ORDER BY job_id FOR SHARE"
        )
        var found: [JobID: (account: AccountID, state: JobState)] = [:]
        for row in rows { found[try row.column(0)] = (account: try row.column(1), state: try row.column(2)) }
        return found
    }

    /// The outcome of each in the order in which they were asked for. What was made before stays what it was, whatever the repeat names.
    private static func merged(
        _ jobs: [NewJob],
        _ insertions: [Insertion],
        _ refused: [JobID: JobID],
        on connection: PostgresConnection
    ) async throws -> [Insertion] {
        var rest = insertions[...]
        var outcomes: [Insertion] = []
        for job in jobs {
            if let unknown = refused[job.id] {
                outcomes.append(try await JobInsertion.made(before: job, on: connection) ?? .unknownDependency(unknown))
            } else if let next = rest.popFirst() {
                outcomes.append(next)
            }
        }
        return outcomes
    }
}
