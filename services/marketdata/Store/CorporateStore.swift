import Bars
import Contracts
import Cryptography
import FoundationEssentials

/// What marketdata remembers of instruments besides their bars: actions, names, and what imports saw.
protocol CorporateStore: Sendable {
    /// The latest revision of each action that was recorded by a moment (microseconds since 1970), in order of day; those that were taken back are left out.
    func actions(of instrument: InstrumentID, recordedBy: Int64) async throws -> [CorporateAction]
    /// Stores what a factor file says, all of it or nothing; makes the instrument if it is new.
    func store(_ batch: ActionBatch) async throws -> CorporateOutcome

    /// What an instrument was called, in order of time.
    func names(of instrument: InstrumentID) async throws -> [InstrumentName]
    /// Who bore a name, in order of time.
    func holders(of ticker: String) async throws -> [NameHolder]
    /// Replaces the names of an instrument, which is known by its first one; makes it if it is new, and calls it as the file does.
    func store(_ batch: NameBatch) async throws -> CorporateOutcome
    /// The instrument that a symbol means at a time, with its series; `strictly` only who bears the name then.
    func description(of symbol: String, on date: NameDate, strictly: Bool) async throws -> InstrumentDescription?

    /// Keeps what an import saw of an instrument's days.
    func note(_ findings: [RowFinding], of instrument: InstrumentID, fileName: String, fileSHA256: SHA256Digest) async throws
    /// What imports saw of days within a range, in order of day; so many at most.
    func findings(of instrument: InstrumentID, days: ClosedRange<CivilDay>, limit: Int) async throws -> [ImportFinding]
}

extension CorporateStore {
    /// The instrument that a symbol most likely means at a time.
    func description(of symbol: String, on date: NameDate) async throws -> InstrumentDescription? {
        try await description(of: symbol, on: date, strictly: false)
    }
}

/// What a factor file says of an instrument.
struct ActionBatch: Sendable {
    var id: UUID
    /// Made as it is if no instrument has its symbol.
    var instrument: Instrument
    var fileName: String
    var fileSHA256: SHA256Digest
    var rows: Int
    var file: LeanActionFile
}

/// What a map file says of an instrument.
struct NameBatch: Sendable {
    var id: UUID
    /// Made as it is if it is new.
    var instrument: Instrument
    var fileName: String
    var fileSHA256: SHA256Digest
    var rows: Int
    var names: [InstrumentName]
}

/// What became of a factor or map file.
struct CorporateOutcome: Sendable {
    var instrument: Instrument
    var createdInstrument: Bool
    /// Actions, or names.
    var days: ImportOutcome.Days
    /// What the instrument was called before.
    var formerSymbol: String?
}

/// What an import saw of a day.
struct ImportFinding: Sendable, Equatable {
    var finding: RowFinding
    var fileName: String
    var recordedAt: Timestamp
}

/// Which instrument a map file is about.
enum NameMatch {
    /// The one whose names begin as the file's do, whatever it is called today; else the one that is called so. An instrument of that symbol with another
    /// beginning is somebody else, who has to get its own new symbol first.
    static func find(
        symbol: String,
        first: InstrumentName,
        among instruments: [(instrument: Instrument, names: [InstrumentName])]
    ) throws -> Instrument? {
        let same = instruments.first { $0.names.first?.ticker == first.ticker && $0.names.first?.firstDay == first.firstDay }
        let called = instruments.first { $0.instrument.symbol == symbol }
        if let same {
            if let called, called.instrument.id != same.instrument.id { throw MarketdataError.symbolTaken(symbol) }
            return same.instrument
        }
        guard let called else { return nil }
        guard called.names.isEmpty else { throw MarketdataError.symbolTaken(symbol) }
        return called.instrument
    }
}
