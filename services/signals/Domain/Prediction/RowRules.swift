import Contracts

/// Why a run is refused: one bad row refuses all of them.
struct RowFault: Error, Sendable, Hashable {
    /// The row's number; nil when the run as a whole is at fault.
    var row: Int?
    var reason: String
}

/// Checks what a run gave against what its manifest promised. The executor checks the same before; the ledger believes nobody.
enum RowRules {
    /// The first fault, or nil when every row may be recorded.
    static func firstFault(rows: [PredictionRow], manifest: Manifest, asOf: Timestamp, feed: FeedKind) -> RowFault? {
        if let reason = OutputRules.fault(ofCount: rows.count, output: manifest.output) {
            return RowFault(row: manifest.output.maximumRows, reason: reason)
        }
        // A replay's bars keep their recorded times, so its windows may lie long before the moment of release.
        let earliest = feed == .live ? asOf : nil
        for (index, row) in rows.enumerated() {
            if let reason = OutputRules.fault(of: row, number: index, output: manifest.output, asOf: earliest) {
                return RowFault(row: index, reason: reason)
            }
        }
        return nil
    }
}
