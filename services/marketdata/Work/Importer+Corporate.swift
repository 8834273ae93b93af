import Bars
import Contracts
import Cryptography
import FoundationEssentials
import ServiceRuntime

extension Importer {
    /// Stores what a factor or map file says of its instrument.
    func store(_ about: LeanCorporateFile, path: String, digest: SHA256Digest) async throws -> ImportOutcome {
        let calendar = CalendarCatalogue.usEquity
        // Such files are of equities, and who has one usually imports the bars next.
        let instrument = Instrument(
            id: .make(),
            symbol: about.symbol,
            assetClass: .equity,
            calendar: calendar.name,
            timeZone: calendar.timeZone,
            tickSize: nil,
            lotSize: nil,
            volumeUnit: AssetClass.equity.usualVolumeUnit,
            baseIntervalSeconds: nil,
            feed: .live,
            replayOf: nil,
            active: true,
            version: 1,
            createdAt: time.now()
        )
        let name = String(path.split(separator: "/").last ?? "")
        var notes: [String] = []
        let stored: CorporateOutcome
        switch about.content {
        case .factors(let file):
            stored = try await store.store(
                ActionBatch(id: UUID(), instrument: instrument, fileName: name, fileSHA256: digest, rows: about.rows, file: file)
            )
        case .names(let names):
            stored = try await store.store(
                NameBatch(id: UUID(), instrument: instrument, fileName: name, fileSHA256: digest, rows: about.rows, names: names)
            )
            if let former = stored.formerSymbol { notes.append("it was called \(former) until now") }
            notes += try await strangers(under: names, besides: stored.instrument)
        }
        return ImportOutcome(
            symbol: stored.instrument.symbol,
            instrumentID: stored.instrument.id,
            layout: about.layout,
            rows: about.rows,
            days: stored.days,
            problems: RowProblems(),
            notes: notes,
            createdInstrument: stored.createdInstrument
        )
    }

    /// Bars that were imported before the names were known lie under a symbol of their own, and stay there.
    private func strangers(under names: [InstrumentName], besides instrument: Instrument) async throws -> [String] {
        var notes: [String] = []
        for ticker in Set(names.map(\.ticker)).sorted() where ticker != instrument.symbol {
            guard let other = try await store.instrument(symbol: ticker), other.id != instrument.id else { continue }
            guard try await store.names(of: other.id).isEmpty, try await !store.series(of: other.id).isEmpty else { continue }
            notes.append("bars stored as \(ticker) before are not joined: import their files again")
        }
        return notes
    }
}
