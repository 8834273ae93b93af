import Contracts

/// How reliably a signal ran, as everybody may know it.
struct CadenceAnswer: Encodable, Sendable {
    struct Counts: Encodable, Sendable {
        let due: Int64
        let onTime: Int64
        let late: Int64
        let missed: Int64
        let skipped: Int64
        let skippedByReason: [String: Int64]
        let failed: Int64
        let unrecorded: Int64
        let shareOnTime: Double?

        init(_ counts: CadenceCounts) {
            due = counts.due
            onTime = counts.onTime
            late = counts.late
            missed = counts.missed
            skipped = counts.skipped
            skippedByReason = counts.skippedByReason
            failed = counts.failed
            unrecorded = counts.unrecorded
            shareOnTime = counts.shareOnTime.map { ($0 * 10_000).rounded() / 10_000 }
        }
    }

    struct Day: Encodable, Sendable {
        let day: CivilDate
        let counts: Counts
    }

    let signalID: SignalID
    let from: CivilDate
    let to: CivilDate
    let total: Counts
    /// Without those on which nothing was due.
    let days: [Day]

    init(_ signal: SignalID, from: CivilDate, to: CivilDate, days: [(day: CivilDate, counts: CadenceCounts)]) {
        signalID = signal
        self.from = from
        self.to = to
        total = Counts(days.reduce(into: CadenceCounts()) { $0 += $1.counts })
        self.days = days.map { Day(day: $0.day, counts: Counts($0.counts)) }
    }
}
