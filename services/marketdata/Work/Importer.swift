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
    /// `digest` names the file that `bytes` were made of, where they were. All days of an instrument are stored in one transaction, unless somebody wants to be told how far it is: then some dozens at a time.
    func run(
        _ bytes: [UInt8],
        path: String,
        options: ImportOptions,
        digest ofOrigin: SHA256Digest? = nil,
        report: (@Sendable (ImportProgress) async throws -> Void)? = nil
    ) async throws -> ImportOutcome {
        async let hashing = cpu.run { ofOrigin ?? SHA256.digest(bytes) }
        if let about = try await cpu.run({ try LeanCorporateReader.read(bytes, path: path, options: options) }) {
            return try await store(about, path: path, digest: try await hashing)
        }
        var file = try await cpu.run { try FileImporter.read(bytes, path: path, options: options) }
        if let known = try await store.instrument(symbol: file.symbol), known.calendar != file.calendar.name || known.assetClass != file.assetClass {
            // A known instrument's own class and calendar say where its sessions are, whatever the file's name suggests.
            var own = options
            own.assetClass = known.assetClass
            own.calendar = try await store.calendar(named: known.calendar) ?? CalendarCatalogue.all[known.calendar]
            file = try await cpu.run { [own] in try FileImporter.read(bytes, path: path, options: own) }
        }
        // A ticker resolves at a date: what a file is named by may have been others before. Who gives a symbol means the instrument itself.
        let holders = options.symbol == nil ? try await store.holders(of: file.symbol) : []
        let parts = try await cpu.run { [file] in
            try TickerSplit.parts(of: file, holders: holders).map { (part: $0, days: DayPartition.days(of: $0.file)) }
        }
        let name = String(path.split(separator: "/").last ?? "")
        let digest = try await hashing
        if file.problems.hasUnreadableTime || (parts.allSatisfy(\.days.isEmpty) && !file.problems.isEmpty) {
            // Nothing of it is stored but that it came: the report on the instrument tells.
            if let known = try await store.instrument(symbol: parts.first?.part.symbol ?? file.symbol) {
                try await store.note(file.problems.findings, of: known.id, fileName: name, fileSHA256: digest)
            }
            throw ImportError.badRows(file.problems)
        }
        var outcome: ImportOutcome?
        var progress = ImportProgress(daysDone: 0, daysTotal: parts.reduce(0) { $0 + $1.days.count }, rowsDone: 0)
        try await report?(progress)
        for (part, days) in parts where !days.isEmpty {
            var batch = batch(of: part.file, symbol: part.symbol, name: name, digest: digest)
            batch.refusedDays = outcome == nil ? file.problems.days.count : 0
            let stored: ImportBatch.Outcome
            if let report {
                stored = try await storeInPieces(days, batch, &progress, report)
            } else {
                batch.days = days
                stored = try await store.store(batch)
            }
            let findings = file.problems.findings.filter { part.days.contains($0.day) }
            try await store.note(findings, of: stored.instrument.id, fileName: name, fileSHA256: digest)
            if var sum = outcome {
                sum.add(stored)
                sum.notes.append("rows from \(days[0].day.text) on are \(stored.instrument.symbol)'s, who bore the name \(file.symbol) then")
                outcome = sum
            } else {
                outcome = ImportOutcome(
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
        guard let outcome else { throw ImportError.emptyFile }
        return outcome
    }

    /// What is known of a file, or a part of it, before its days.
    func batch(of file: ImportedFile, symbol: String, name: String, digest: SHA256Digest) -> ImportBatch {
        let instrument = Instrument(
            id: .make(),
            symbol: symbol,
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
        return ImportBatch(
            id: UUID(),
            instrument: instrument,
            fileName: name,
            fileSHA256: digest,
            layout: file.layout.rawValue,
            rows: file.rows,
            refusedDays: 0,
            notes: file.notes,
            days: []
        )
    }

    /// Stores some days after the other, the sides of a day together, and tells how far it is.
    private func storeInPieces(
        _ unordered: [DayPartition.Day],
        _ first: ImportBatch,
        _ progress: inout ImportProgress,
        _ report: @Sendable (ImportProgress) async throws -> Void
    ) async throws -> ImportBatch.Outcome {
        let days = unordered.sorted { $0.day < $1.day }
        var batch = first
        var whole: ImportBatch.Outcome?
        var at = 0
        while at < days.count {
            try Task.checkCancellation()
            var end = min(at + 48, days.count)
            while end < days.count, days[end].day == days[end - 1].day { end += 1 }
            batch.id = UUID()
            batch.days = Array(days[at..<end])
            batch.rows = batch.days.reduce(0) { $0 + $1.rows.count }
            let piece = try await store.store(batch)
            whole = whole.map { $0.joined(with: piece) } ?? piece
            // Once is enough.
            batch.refusedDays = 0
            progress.daysDone += end - at
            progress.rowsDone += batch.rows
            at = end
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
        joined.days = days
        joined.days.add(later.days)
        return joined
    }
}
