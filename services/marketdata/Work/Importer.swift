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
    ///
    /// All days are stored in one transaction, unless somebody wants to be told how far it is: then some dozens at a time.
    func run(
        _ bytes: [UInt8],
        path: String,
        options: ImportOptions,
        report: (@Sendable (ImportProgress) async throws -> Void)? = nil
    ) async throws -> ImportOutcome {
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
        var batch = ImportBatch(
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
        let stored: ImportBatch.Outcome
        if let report {
            stored = try await storeInPieces(&batch, report)
        } else {
            stored = try await store.store(batch)
        }
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
    /// Stores some days after the other, the sides of a day together, and tells how far it is.
    private func storeInPieces(
        _ batch: inout ImportBatch,
        _ report: @Sendable (ImportProgress) async throws -> Void
    ) async throws -> ImportBatch.Outcome {
        let days = batch.days.sorted { $0.day < $1.day }
        var progress = ImportProgress(daysDone: 0, daysTotal: days.count, rowsDone: 0)
        try await report(progress)
        var whole: ImportBatch.Outcome?
        while progress.daysDone < days.count {
            try Task.checkCancellation()
            var end = min(progress.daysDone + 48, days.count)
            while end < days.count, days[end].day == days[end - 1].day { end += 1 }
            batch.id = UUID()
            batch.days = Array(days[progress.daysDone..<end])
            batch.rows = batch.days.reduce(0) { $0 + $1.bars.count }
            let piece = try await store.store(batch)
            whole = whole.map { $0.joined(with: piece) } ?? piece
            // Once is enough.
            batch.refusedDays = 0
            progress.daysDone = end
            progress.rowsDone += batch.rows
            try await report(progress)
        }
        guard let whole else { throw ImportError.emptyFile }
        return whole
    }
}

extension ImportBatch.Outcome {
    /// What both together did.
    fileprivate func joined(with later: ImportBatch.Outcome) -> ImportBatch.Outcome {
        var joined = later
        joined.createdInstrument = createdInstrument
        joined.days.added += days.added
        joined.days.extended += days.extended
        joined.days.revised += days.revised
        joined.days.unchanged += days.unchanged
        joined.days.refused += days.refused
        return joined
    }
}
