import Contracts

/// What became of an imported file.
struct ImportOutcome: Sendable, Equatable {
    /// How many days were stored, and in what way.
    struct Days: Sendable, Equatable {
        var added = 0
        var extended = 0
        var revised = 0
        var unchanged = 0
        /// Days that were left alone because a row of theirs is bad.
        var refused = 0

        /// Counts those of another part of the file too.
        mutating func add(_ other: Days) {
            added += other.added
            extended += other.extended
            revised += other.revised
            unchanged += other.unchanged
            refused += other.refused
        }
    }

    var symbol: String
    var instrumentID: InstrumentID
    var layout: ImportLayout
    var rows: Int
    var days: Days
    var problems: RowProblems
    var notes: [String]
    /// Whether the instrument came to be by this import.
    var createdInstrument: Bool

    /// Takes in what became of another part of the file, which is another instrument's: the last one is named.
    mutating func add(_ part: ImportBatch.Outcome) {
        days.add(part.days)
        createdInstrument = createdInstrument || part.createdInstrument
        symbol = part.instrument.symbol
        instrumentID = part.instrument.id
    }
}

/// How far an import is.
struct ImportProgress: Sendable, Equatable {
    /// Days of all series of the file.
    var daysDone: Int
    var daysTotal: Int
    var rowsDone: Int
}
