import Contracts

/// What became of an import, as clients read it.
struct ImportAnswer: Encodable, Sendable {
    let instrument: String
    let instrumentID: InstrumentID
    let created: Bool
    let layout: String
    let rows: Int
    let daysAdded: Int
    let daysExtended: Int
    let daysRevised: Int
    let daysUnchanged: Int
    let daysRefused: Int
    let badRowCount: Int
    let badRows: [BadRowAnswer]
    let notes: [String]

    init(_ outcome: ImportOutcome) {
        instrument = outcome.symbol
        instrumentID = outcome.instrumentID
        created = outcome.createdInstrument
        layout = outcome.layout.rawValue
        rows = outcome.rows
        daysAdded = outcome.days.added
        daysExtended = outcome.days.extended
        daysRevised = outcome.days.revised
        daysUnchanged = outcome.days.unchanged
        daysRefused = outcome.days.refused
        badRowCount = outcome.problems.total
        badRows = outcome.problems.kept.map { BadRowAnswer($0) }
        notes = outcome.notes
    }
}

/// A bad row, named by its line.
struct BadRowAnswer: Encodable, Sendable {
    let line: Int
    let column: String
    let reason: String

    init(_ problem: RowProblem) {
        line = problem.line
        column = problem.column
        reason = problem.reason
    }

    /// The same inside a problem document.
    static func json(_ problem: RowProblem) -> JSONValue {
        .object(["line": .integer(Int64(problem.line)), "column": .string(problem.column), "reason": .string(problem.reason)])
    }
}
