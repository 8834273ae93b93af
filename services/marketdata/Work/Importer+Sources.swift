import Bars
import Contracts
import Cryptography
import FoundationEssentials
import ServiceRuntime

extension Importer {
    /// Stores what a source answered, as a file of the same rows would be: days with a bad row are left alone and named, all others are stored in one
    /// transaction, and the same answer again changes nothing. Throws `ImportError` when nothing of it can be used.
    ///
    /// `source` is its id and `name` what was asked of it. With a `mark` the answer is stored only by the first who brings it; later ones get
    /// `FetchOvertaken`.
    func run(_ file: ImportedFile, from source: String, name: String, mark: FetchMark? = nil) async throws -> ImportOutcome {
        let (days, digest) = try await cpu.run { (DayPartition.days(of: file), Self.digest(of: file)) }
        let known = try await store.instrument(symbol: file.symbol)
        if file.problems.hasUnreadableTime || (days.isEmpty && !file.problems.isEmpty) {
            if let known { try await store.note(file.problems.findings, of: known.id, fileName: name, fileSHA256: digest) }
            throw ImportError.badRows(file.problems)
        }
        guard !days.isEmpty else { throw ImportError.emptyFile }
        var batch = self.batch(of: file, symbol: file.symbol, name: name, digest: digest)
        batch.refusedDays = file.problems.days.count
        batch.days = days
        batch.source = source
        batch.mark = mark
        let stored = try await store.store(batch)
        try await store.note(file.problems.findings, of: stored.instrument.id, fileName: name, fileSHA256: digest)
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

    /// What tells one answer from another: there are no bytes of a file.
    private static func digest(of file: ImportedFile) -> SHA256Digest {
        var bytes: [UInt8] = []
        for part in file.series {
            bytes += Array("\(part.intervalSeconds) \(part.side.rawValue) \(part.origin.rawValue) ".utf8)
            bytes += SHA256.digest(DayChunk.encode(part.bars)).bytes
        }
        return SHA256.digest(bytes)
    }
}
