import Contracts

extension CadenceCounts {
    /// The reasons that everybody may read. Any other is counted as `other`: nothing that a provider or a run has said gets out this way.
    static let publicReasons: Set<String> = ["overlap", "calendar", "no_bar", "paused"]

    /// A day as the scheduler told it, with the reasons that everybody may read.
    init(_ event: CadenceSettled) {
        self.init()
        (onTime, late, missed) = (event.onTime, event.late, event.missed)
        (failed, unrecorded) = (event.failed, event.unrecorded)
        for skipped in event.skippedByReason where skipped.due > 0 {
            skippedByReason[Self.publicReasons.contains(skipped.reason) ? skipped.reason : "other", default: 0] += skipped.due
        }
    }
}
