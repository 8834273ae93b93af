import Bars
import Contracts
import Cryptography
import FoundationEssentials

/// One file's days, or those of a source's answer, on their way into the store.
struct ImportBatch: Sendable {
    /// What the store did with them.
    struct Outcome: Sendable {
        var instrument: Instrument
        var createdInstrument: Bool
        var days: ImportOutcome.Days
    }

    var id: UUID
    /// Made as it is if no instrument has its symbol; else only the symbol counts.
    var instrument: Instrument
    var fileName: String
    var fileSHA256: SHA256Digest
    var layout: String
    var rows: Int
    var refusedDays: Int
    var notes: [String]
    var days: [DayPartition.Day]
    /// Where it came from: the id of a source, or `file`.
    var source = ImportBatch.file
    /// Of a fetched answer that only one may store: what it speaks for.
    var mark: FetchMark?

    static let file = "file"
}

/// What the store knows of a day before an import touches it.
struct LatestChunk: Sendable {
    var revision: Int
    var edition: Int
    var coverage: Range<Int64>
    var recordedAt: Int64
    var bytes: [UInt8]
    /// Of a live day: rows that became known by then are part of it.
    var sealedThrough: Int64?
}

/// A chunk ready to be written.
struct ChunkDraft: Sendable {
    var series: SeriesKey
    var day: CivilDay
    var revision: Int
    var edition: Int
    var change: DayMerge.Change
    var rows: Int
    var firstStart: Int64
    var firstEnd: Int64
    var lastEnd: Int64
    var coverage: Range<Int64>
    var sha256: SHA256Digest
    var bytes: [UInt8]
    /// The slots of the day (`DaySlots`) in which its bars begin.
    var slots: [UInt8]
    /// Whether it is known from its recording on: a correction, whatever is said of a day that was live, and what a rule brings of the time since it is there.
    var isStamped: Bool
    /// Of a day that was live: rows that became known by then are part of it.
    var sealedThrough: Int64?

    /// Merges a day with what is stored of it; nothing when that changes nothing. `liveAt` is the time of the import where a feed has told of the day.
    init?(_ day: DayPartition.Day, latest: LatestChunk?, liveAt: Int64? = nil, mark: FetchMark? = nil) throws {
        let merged: (bars: BarSeries, coverage: Range<Int64>, change: DayMerge.Change)
        var live: LiveDay?
        do {
            let content = try latest.map { try StoredDay(decoding: $0.bytes) }
            if case .live(let told) = content { live = told }
            let stored = latest.flatMap { latest in content.map { DayMerge.Stored(bars: $0.bars, coverage: latest.coverage) } }
            guard let changed = try DayMerge.merge(stored: stored, imported: day.bars, coverage: day.coverage) else { return nil }
            merged = changed
        } catch let error as BarsError {
            // A stored day that cannot be read is what this import mends: nothing of it can be kept.
            guard latest != nil, case .damagedChunk = error else { throw error }
            merged = (day.bars, day.coverage, .revised)
            // A live day stays one: what its tail holds, and what feeds tell next, is no history.
            if latest?.sealedThrough != nil { live = LiveDay() }
        }
        series = day.series
        self.day = day.day
        revision = (latest?.revision ?? 0) + 1
        // Rows that are added to a live day were unknown before, and not only unsaid.
        change = liveAt != nil && merged.change == .extended ? .revised : merged.change
        // What was asked of the instrument since the rule is there was answered without these rows. Of the time before it, they are history.
        let isLate =
            mark.map { mark in
                max(day.bars.ends.last ?? .min, latest?.recordedAt ?? .min) > mark.ruleCreatedAt.microseconds
            } ?? false
        isStamped = change == .revised || liveAt != nil || isLate
        edition = (latest?.edition ?? 1) + (live?.revisionCount ?? 0) + (change == .revised ? 1 : 0)
        rows = merged.bars.count
        firstStart = merged.bars.starts.first ?? 0
        firstEnd = merged.bars.ends.first ?? 0
        lastEnd = merged.bars.ends.last ?? 0
        coverage = merged.coverage
        if let live {
            // An import after the day is over is all that there was of it.
            let midnight = (day.day + 1).seconds * 1_000_000
            let isOver = liveAt.map { $0 >= midnight } ?? true
            let settled = max(day.coverage.upperBound, isOver ? midnight : .min)
            let told = try live.replaced(by: day.bars, in: day.coverage, settledThrough: settled)
            bytes = told.encoded()
            sealedThrough = latest?.sealedThrough
            rows = told.rowCount
            lastEnd = max(lastEnd, told.span?.lastEnd ?? lastEnd)
        } else {
            bytes = DayChunk.encode(merged.bars)
        }
        sha256 = SHA256.digest(bytes)
        slots = DaySlots(intervalSeconds: day.series.intervalSeconds).bits(of: merged.bars.starts, day: day.day)
    }
}
