import Contracts
import Postgres

extension PostgresSignalsStore {
    func views(_ signalIDs: [SignalID]) async throws -> [SignalView] {
        let rows = try await query(
            """
            SELECT \(unsafe: Self.signalColumnsOfS), h.seq, h.link, h.made_at, h.sealed_seq, h.revision,
                c.last_due_at, c.last_outcome, c.last_reason, c.next_due_at, c.version, e.root, (SELECT coalesce(max(epoch), 1) FROM ledger_epochs)
            FROM signals s
            JOIN heads h ON h.signal_id = s.id
            LEFT JOIN cadence c ON c.signal_id = s.id
            LEFT JOIN seal_heads sealed ON sealed.signal_id = s.id AND sealed.seq = h.sealed_seq
            LEFT JOIN seals e ON e.number = sealed.seal_number
            WHERE s.id = ANY (\(signalIDs))
            ORDER BY s.id
            """
        )
        return try rows.map { row in
            let signal = try Self.signal(row)
            return SignalView(
                signal: signal,
                head: try Self.head(row, of: signal.id, from: 14),
                cadence: try row.column(23, as: Int64?.self) == nil ? nil : try Self.cadence(row, from: 19),
                root: try row.column(24),
                epoch: try row.column(25)
            )
        }
    }
}
