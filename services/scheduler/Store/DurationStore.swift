import Contracts
import Foundation
import Postgres

/// Keeps how long the last jobs took, for all replicas and beyond a restart.
struct DurationStore: Sendable {
    let pool: PostgresPool
    /// The most rows that a replica keeps in memory.
    static let mostKeys: Int32 = 20_000
    private static let all = UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))

    /// A duration that was measured.
    struct Sample: Sendable {
        let key: DurationKey
        let seconds: Double
    }

    /// Adds the durations of jobs that ended one after the other.
    func add(_ samples: [Sample]) async throws {
        if samples.isEmpty { return }
        // Each counts for its signal, and for all signals together.
        let rows = samples.flatMap { $0.key.signal == nil ? [$0] : [$0, Sample(key: $0.key.ofAll, seconds: $0.seconds)] }
        _ = try await pool.pipeline([
            // What a crash of the server forgets is made up for by the next jobs.
            .withoutFlush,
            """
            INSERT INTO job_durations (kind, signal_id, size_bucket, seconds)
            SELECT kind, signal, bucket, (array_agg(seconds ORDER BY position DESC))[1:\(unsafe: "\(DurationModel.kept)")]
            FROM unnest(\(rows.map(\.key.kind.rawValue)), \(rows.map { $0.key.signal?.uuid ?? Self.all }), \(rows.map(\.key.bucket)),
                \(rows.map(\.seconds))) WITH ORDINALITY AS new (kind, signal, bucket, seconds, position)
            GROUP BY kind, signal, bucket ORDER BY kind, signal, bucket
            ON CONFLICT (kind, signal_id, size_bucket) DO UPDATE SET
                seconds = (excluded.seconds || job_durations.seconds)[1:\(unsafe: "\(DurationModel.kept)")], updated_at = clock_timestamp()
            """,
        ])
    }

    /// What was added since a moment of the database's clock, and that clock; some seconds are told again, for rows commit out of order.
    func changes(since moment: Timestamp?) async throws -> (rows: [(key: DurationKey, seconds: [Double])], now: Timestamp) {
        let answers = try await pool.pipeline([
            "SELECT clock_timestamp()",
            """
            SELECT kind, signal_id, size_bucket, seconds FROM job_durations
            WHERE updated_at >= \(moment.map { $0 - .seconds(10) } ?? .distantPast) ORDER BY updated_at DESC LIMIT \(Self.mostKeys)
            """,
        ])
        let rows = try answers[1].map { row in
            let (kind, signal, bucket, seconds) = try row.decode(String.self, UUID.self, Int16.self, [Double].self)
            return (
                key: DurationKey(kind: JobKind(kind), signal: signal == Self.all ? nil : SignalID(uuid: signal), bucket: bucket), seconds: seconds
            )
        }
        return (rows, try answers[0][0].column(0))
    }
}
