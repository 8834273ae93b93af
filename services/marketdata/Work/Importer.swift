import Bars
import Contracts
import Cryptography
import FoundationEssentials
import ServiceRuntime

/// Takes a vendor's file in: reads it, cuts it into days, stores them.
struct Importer: Sendable {
    let store: any MarketdataStore
    let cpu: CPUPool
    let time: any TimeSource

    /// Stores a file whole days at a time; days with a bad row are left alone and named. Throws `ImportError` when nothing of it can be used.
    func run(_ bytes: [UInt8], path: String, options: ImportOptions) async throws -> ImportOutcome {
        async let digest = cpu.run { SHA256.digest(bytes) }
        var file = try await cpu.run { try FileImporter.read(bytes, path: path, options: options) }
        if let known = try await store.instrument(symbol: file.symbol), known.calendar != file.calendar.name || known.assetClass != file.assetClass {
            // A known instrument's own class and calendar say where its sessions are, whatever the file's name suggests.
            var own = options
            own.assetClass = known.assetClass
            own.calendar = try await store.calendar(named: known.calendar) ?? CalendarCatalogue.all[known.calendar]
            file = try await cpu.run { [own] in try FileImporter.read(bytes, path: path, options: own) }
        }
        let days = try await cpu.run { [file] in DayPartition.days(of: file) }
        if file.problems.hasUnreadableTime || (days.isEmpty && !file.problems.isEmpty) { throw ImportError.badRows(file.problems) }
        guard !days.isEmpty else { throw ImportError.emptyFile }
        let instrument = Instrument(
            id: .make(),
            symbol: file.symbol,
            assetClass: file.assetClass,
            calendar: file.calendar.name,
            timeZone: file.calendar.timeZone,
            tickSize: nil,
            lotSize: nil,
            volumeUnit: file.assetClass.usualVolumeUnit,
            baseIntervalSeconds: nil,
            feed: .live,
            replayOf: nil,
            active: true,
            version: 1,
            createdAt: time.now()
        )
        let batch = ImportBatch(
            id: UUID(),
            instrument: instrument,
            fileName: String(path.split(separator: "/").last ?? ""),
            fileSHA256: try await digest,
            layout: file.layout.rawValue,
            rows: file.rows,
            refusedDays: file.problems.days.count,
            notes: file.notes,
            days: days
        )
        let stored = try await store.store(batch)
        return ImportOutcome(
            symbol: stored.instrument.symbol,
            instrumentID: stored.instrument.id,
            layout: file.layout,
            rows: file.rows,
            days: stored.days,
            problems: file.problems,
            notes: file.notes,
            createdInstrument: stored.createdInstrument
        )
    }
}
