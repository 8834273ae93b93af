import Contracts
import HTTPServing
import ServiceRuntime

/// `marketdata quality SYMBOL`: what is odd about an instrument's stored bars, a line each.
enum QualityCommand {
    static let usage = """
        marketdata quality SYMBOL [--start TIME] [--end TIME]
            holes inside sessions, outliers, bid above ask, prices that cannot be, and what imports saw; the last thirty stored days unless told
        """

    static let subcommand = Subcommand<MarketdataSettings>(name: "quality", help: "SYMBOL: says what is odd about an instrument's stored bars") {
        words,
        settings in
        if words.isEmpty || words.contains("--help") {
            print(usage)
            return words.isEmpty ? 64 : 0
        }
        let (symbol, start, end) = try parse(words)
        let report = try await CommandStore.run(try settings(), name: "quality") { store, cpu in
            let time = SystemTimeSource()
            let reader = QualityReader(store: store, calendars: Calendars(store: store, time: time), cpu: cpu, time: time)
            do { return try await reader.report(on: symbol, start: start, end: end) } catch let error as MarketdataError {
                throw CommandError(message: error.problem.detail)
            }
        }
        for line in lines(report) { print(line) }
        return 0
    }

    static func parse(_ words: [String]) throws -> (symbol: String, start: Timestamp?, end: Timestamp?) {
        var symbol: String?
        var times: [String: Timestamp] = [:]
        var at = 0
        while at < words.count {
            let word = words[at]
            at += 1
            if word == "--start" || word == "--end" {
                guard at < words.count, let moment = Timestamp(iso8601: words[at]), BarQuery.hasBars(at: moment) else {
                    throw CommandError(message: "\(word) needs a UTC time such as 2016-10-08T12:01:00Z\n\(usage)")
                }
                times[word] = moment
                at += 1
            } else if word.hasPrefix("--") || symbol != nil {
                throw CommandError(message: "unknown option \(word)\n\(usage)")
            } else {
                symbol = word
            }
        }
        guard let symbol, InstrumentSymbol.canExist(symbol) else { throw CommandError(message: usage) }
        if let start = times["--start"], let end = times["--end"], end <= start { throw CommandError(message: "--end is a time after --start") }
        return (symbol, times["--start"], times["--end"])
    }

    /// The report for a terminal.
    static func lines(_ report: QualityReport) -> [String] {
        var lines = ["\(report.instrument) from \(report.start) to \(report.end)"]
        func say(_ title: String, _ found: QualityReport.Findings) {
            if found.count == 0 { return }
            lines.append("  \(title): \(found.count)")
            for place in found.places.prefix(10) { lines.append("    \(place.start) to \(place.end): \(place.what)") }
        }
        for series in report.series {
            lines.append("\(series.interval) \(series.price) (\(series.origin)): \(series.rows) bars on \(series.days) days")
            say("outliers", series.outliers)
            say("holes", series.holes)
            say("prices not above zero", series.notPositive)
            say("high below low", series.highBelowLow)
        }
        for spread in report.negativeSpreads { say("\(spread.interval) bid above ask (\(spread.origin))", spread.found) }
        for seen in report.imports {
            lines.append("import of \(seen.file), \(seen.day): \(seen.kind) rows: \(seen.rows), the first in line \(seen.firstLine)")
        }
        if report.isClean { lines.append("nothing odd") }
        return lines
    }
}
