import Bars
import Contracts

/// The rows of OpenBB's historical prices: `date` with or without a time of day, prices and volume as numbers.
struct OpenBBRows: Sendable {
    let calendar: ExchangeCalendar
    let interval: BarInterval

    func file(
        _ rows: [JSONValue],
        of request: HistoryRequest,
        assetClass: AssetClass,
        askedAt: Timestamp,
        notes: [String]
    ) throws(SourceError) -> ImportedFile? {
        guard !rows.isEmpty else { return nil }
        return interval.isDaily
            ? try days(rows, of: request, assetClass: assetClass, askedAt: askedAt, notes: notes)
            : try intraday(rows, of: request, assetClass: assetClass, askedAt: askedAt, notes: notes)
    }

    private func intraday(
        _ rows: [JSONValue],
        of request: HistoryRequest,
        assetClass: AssetClass,
        askedAt: Timestamp,
        notes: [String]
    ) throws(SourceError) -> ImportedFile? {
        let zone: ZoneRules
        do { zone = try ZoneRules(identifier: calendar.timeZone) } catch { throw .notSupported("the time zone \(calendar.timeZone)") }
        var collected = AnswerRows()
        for row in rows {
            guard let text = row["date"]?.string, let start = Self.moment(text, in: zone) else { throw .broken("a row without its time") }
            collected.append(try bar(row, start: start, end: start + .seconds(interval.seconds)))
        }
        return try collected.file(of: request, interval: interval, assetClass: assetClass, askedAt: askedAt, notes: notes)
    }

    /// Days stand at their session, as those of files do.
    private func days(
        _ rows: [JSONValue],
        of request: HistoryRequest,
        assetClass: AssetClass,
        askedAt: Timestamp,
        notes: [String]
    ) throws(SourceError) -> ImportedFile? {
        var raw = RawRows()
        var problems = RowProblems()
        for (index, row) in rows.enumerated() {
            guard let text = row["date"]?.string, let midnight = Timestamp(iso8601: "\(text.prefix(10))T00:00:00Z") else {
                throw .broken("a row without its date")
            }
            let bar = try bar(row, start: midnight, end: midnight)
            raw.append(
                line: index + 1,
                stamp: midnight.microseconds,
                open: bar.open,
                high: bar.high,
                low: bar.low,
                close: bar.close,
                volume: bar.volume,
                day: CivilDay(utcMicroseconds: midnight.microseconds),
                problems: &problems
            )
        }
        var notes = notes
        let series: ImportedSeries
        do {
            let clock = try TradingClock(calendar)
            series = try PeriodPlacement.place(raw, clock: clock, given: interval, problems: &problems, notes: &notes)
        } catch let error as ImportError {
            throw .broken(error.detail)
        } catch { throw .notSupported("the calendar \(calendar.name)") }
        guard problems.isEmpty else { throw .broken(problems.summary) }
        return try AnswerRows.file(series, rows: rows.count, of: request, assetClass: assetClass, askedAt: askedAt, notes: notes)
    }

    /// The models of crypto and currencies promise no more than a date and a close: without the rest it is no bar.
    private func bar(_ row: JSONValue, start: Timestamp, end: Timestamp) throws(SourceError) -> AnswerRow {
        guard let open = row["open"]?.exactNumber, let high = row["high"]?.exactNumber, let low = row["low"]?.exactNumber,
            let close = row["close"]?.exactNumber
        else { throw .broken("a row that is no whole bar: the provider gives no open, high and low") }
        var volume: DecimalNumber?
        // Not every provider has one; what is there must be a number.
        if let field = row["volume"], field != .null {
            volume = field.exactNumber
            guard volume != nil else { throw .broken("a row whose volume is no number") }
        }
        return try AnswerRow(start: start, end: end, open: open, high: high, low: low, close: close, volume: volume).checked(hasVolume: false)
    }

    /// A time with an offset is that moment; one without is on the exchange's clock.
    static func moment(_ text: String, in zone: ZoneRules) -> Timestamp? {
        if let moment = Timestamp(iso8601: text) { return moment }
        guard let local = Timestamp(iso8601: text + "Z") else { return nil }
        let seconds = floorDivide(local.microseconds, 1_000_000)
        return Timestamp(microseconds: zone.utc(fromLocal: seconds) * 1_000_000 + local.microseconds - seconds * 1_000_000)
    }
}
