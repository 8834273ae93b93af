import Contracts

/// How reliably a signal ran, as everybody may know it.
struct CadenceAnswer: Encodable, Sendable {
    struct Day: Encodable, Sendable {
        let day: CivilDate
        let counts: CadenceCounts
    }

    let signalID: SignalID
    let from: CivilDate
    let to: CivilDate
    let total: CadenceCounts
    /// Without those on which nothing was due.
    let days: [Day]

    init(_ signal: SignalID, from: CivilDate, to: CivilDate, days: [(day: CivilDate, counts: CadenceCounts)]) {
        signalID = signal
        self.from = from
        self.to = to
        total = days.reduce(into: CadenceCounts()) { $0 += $1.counts }
        self.days = days.map { Day(day: $0.day, counts: $0.counts) }
    }
}
