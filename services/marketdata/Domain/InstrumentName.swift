import Bars
import Contracts

/// What an instrument was called on the exchange, and when. A name may pass from one to another; the instrument's id stays.
struct InstrumentName: Sendable, Equatable {
    var ticker: String
    /// The first day of the name, by the exchange's calendar.
    var firstDay: CivilDay
    /// The last day of the name; `open` while it lasts.
    var lastDay: CivilDay
    /// The exchange's letter, where the file has it.
    var exchange: String?

    /// The last day of a name that is still borne.
    static let open = CivilDay(year: 9_999, month: 12, day: 31)
}

/// An instrument that bore a name for a while.
struct NameHolder: Sendable, Equatable {
    var instrumentID: InstrumentID
    /// What the instrument is called today.
    var symbol: String
    /// The exchange's zone, in which the days are meant.
    var timeZone: String
    var name: InstrumentName
}

/// When a symbol is meant.
enum NameDate: Sendable, Equatable {
    /// At an instant, wherever the exchange is.
    case moment(Timestamp)
    /// On a day of the exchange.
    case day(CivilDay)
}

/// Which instrument a symbol means: whoever bears the name then; else the instrument that is called so and whose names nobody told; else who bore it last.
///
/// The same order stands in `PostgresMarketdataStore.description(of:on:strictly:)`.
enum NameRank: Int, Comparable {
    case bearsIt, isCalledSo, boreIt, willBearIt

    static func of(symbol: String, instrument: Instrument, names: [InstrumentName], on day: CivilDay) -> (rank: NameRank, since: CivilDay)? {
        let own = names.filter { $0.ticker == symbol && $0.firstDay <= day }.max { $0.firstDay < $1.firstDay }
        if let own { return (own.lastDay >= day ? .bearsIt : .boreIt, own.firstDay) }
        guard instrument.symbol == symbol else { return nil }
        return (names.contains { $0.ticker == symbol } ? .willBearIt : .isCalledSo, CivilDay(number: 0))
    }

    static func < (left: NameRank, right: NameRank) -> Bool { left.rawValue < right.rawValue }
}

/// Cuts a file that is named by a ticker into the instruments that bore it, each from its first day on.
enum TickerSplit {
    struct Part: Sendable {
        var symbol: String
        var file: ImportedFile
        /// The UTC days of the part, whole ones: on a seam in the middle of a day it is the later part's.
        var days: Range<CivilDay>
    }

    /// Rows before the first bearer are its, and rows between two are the earlier one's: nothing of the file is lost.
    static func parts(of file: ImportedFile, holders: [NameHolder]) throws -> [Part] {
        // Borne twice, with another name between, is one stretch of one instrument: a day cut in two would be stored twice.
        var bearers: [NameHolder] = []
        for holder in holders.sorted(by: { $0.name.firstDay < $1.name.firstDay }) where bearers.last?.symbol != holder.symbol {
            bearers.append(holder)
        }
        let (earliest, latest) = (CivilDay(number: .min / 2), CivilDay(number: .max / 2))
        guard let first = bearers.first else { return [Part(symbol: file.symbol, file: file, days: earliest..<latest)] }
        let zone = try ZoneRules(identifier: first.timeZone)
        var parts: [Part] = []
        for (place, holder) in bearers.enumerated() {
            let from = place == 0 ? Int64.min : zone.utc(fromLocal: holder.name.firstDay.seconds) * 1_000_000
            let next = place + 1 < bearers.count ? zone.utc(fromLocal: bearers[place + 1].name.firstDay.seconds) * 1_000_000 : Int64.max
            var part = file
            part.symbol = holder.symbol
            part.series = file.series.compactMap { series in
                var cut = series
                cut.bars = series.bars.slice(series.bars.firstRow(startingFrom: from)..<series.bars.firstRow(startingFrom: next))
                let (lower, upper) = (max(series.coverage.lowerBound, from), min(series.coverage.upperBound, next))
                guard !cut.bars.isEmpty, lower < upper else { return nil }
                cut.coverage = lower..<upper
                return cut
            }
            let days = (from == .min ? earliest : CivilDay(utcMicroseconds: from))..<(next == .max ? latest : CivilDay(utcMicroseconds: next))
            if !part.series.isEmpty { parts.append(Part(symbol: holder.symbol, file: part, days: days)) }
        }
        return parts
    }
}
