import Bars
import Contracts
import HTTPServing
import ServiceRuntime

/// `marketdata import PATH…`: takes files and folders in, as `POST /api/imports` does, without its limit on size.
enum ImportCommand {
    static let usage = """
        marketdata import PATH... [--symbol SYMBOL] [--time-zone ZONE] [--asset-class CLASS] [--price trade|bid|ask] [--interval 15m]
            [--date-order dmy|mdy] [--stamps start|end]
            files and folders; --interval gives the length of a bar where the rows do not tell it, --date-order says
            what 03/04/2017 is, --stamps end that rows carry the end of their bar; in a folder, files of unknown layout are passed over with a word;
            market-hours-database.json brings exchange calendars, Lean's factor and map files splits, dividends and names
        """

    static let subcommand = Subcommand<MarketdataSettings>(name: "import", help: "PATH...: imports files of bars, ticks and trades") {
        words,
        settings in
        if words.isEmpty || words.contains("--help") {
            print(usage)
            return words.isEmpty ? 64 : 0
        }
        let (paths, options) = try parse(words)
        return try await run(paths, options, settings())
    }

    private static func parse(_ words: [String]) throws -> (paths: [String], options: ImportOptions) {
        var paths: [String] = []
        var options = ImportOptions()
        var at = 0
        while at < words.count {
            let word = words[at]
            at += 1
            guard word.hasPrefix("--") else {
                paths.append(word)
                continue
            }
            guard at < words.count else { throw CommandError(message: "\(word) needs a value\n\(usage)") }
            let value = words[at]
            at += 1
            switch word {
            case "--symbol": options.symbol = value
            case "--time-zone": options.timeZone = value
            case "--asset-class":
                guard let known = AssetClass(rawValue: value) else { throw CommandError(message: "\(value) is no asset class") }
                options.assetClass = known
            case "--price":
                guard let known = PriceSide(rawValue: value), known != .mid else {
                    throw CommandError(message: "\(value) is none of trade, bid, ask")
                }
                options.side = known
            case "--interval":
                guard let known = try? BarInterval(text: value) else { throw CommandError(message: "\(value) is no interval such as 15m or 1d") }
                options.interval = known
            case "--date-order":
                guard let known = DateOrder(rawValue: value) else { throw CommandError(message: "\(value) is neither dmy nor mdy") }
                options.dateOrder = known
            case "--stamps":
                guard let known = ImportOptions.Stamps(rawValue: value) else { throw CommandError(message: "\(value) is neither start nor end") }
                options.stamps = known
            default: throw CommandError(message: "unknown option \(word)\n\(usage)")
            }
        }
        guard !paths.isEmpty else { throw CommandError(message: usage) }
        return (paths, options)
    }

    private static func run(_ paths: [String], _ options: ImportOptions, _ settings: MarketdataSettings) async throws -> Int32 {
        let failures = try await CommandStore.run(settings, name: "import") { store, cpu in
            try await importAll(paths, options, Importer(store: store, cpu: cpu, time: SystemTimeSource()))
        }
        return failures == 0 ? 0 : 1
    }

    /// The number of files that were named but could not be imported.
    private static func importAll(_ paths: [String], _ options: ImportOptions, _ importer: Importer) async throws -> Int {
        var failures = 0
        for path in paths {
            let files = LeanCorporateReader.first(Files.list(path))
            guard !files.isEmpty else {
                print("\(path): not found")
                failures += 1
                continue
            }
            let isFolder = files != [path]
            for file in files {
                guard let bytes = try await importer.cpu.run({ Files.read(file) }) else {
                    print("\(file): cannot be read")
                    failures += 1
                    continue
                }
                do {
                    if file.hasSuffix("market-hours-database.json") {
                        let (calendars, leftOut) = try MarketHoursReader.read(bytes)
                        try await importer.store.save(calendars)
                        print("\(file): \(calendars.count) calendars\(leftOut == 0 ? "" : ", \(leftOut) left out")")
                        continue
                    }
                    print(line(file, try await importer.run(bytes, path: file, options: options)))
                } catch let error as MarketdataError {
                    print("\(file): refused: \(error.problem.detail)")
                    failures += 1
                } catch let error as ImportError {
                    var isPassedOver = false
                    if case .unknownLayout = error { isPassedOver = isFolder }
                    if case .unsupportedLayout = error { isPassedOver = isFolder }
                    print("\(file): \(isPassedOver ? "passed over" : "refused"): \(error.detail)")
                    if !isPassedOver { failures += 1 }
                }
            }
        }
        return failures
    }

    private static func line(_ path: String, _ outcome: ImportOutcome) -> String {
        let days = outcome.days
        let what = [.leanFactors: "actions", .leanMap: "names"][outcome.layout] ?? "days"
        var parts: [String] = []
        for (count, word) in [
            (days.added, "new"), (days.extended, "extended"), (days.revised, "revised"), (days.unchanged, "unchanged"), (days.refused, "refused"),
        ] where count > 0 { parts.append("\(count) \(word)") }
        var text = "\(path): \(outcome.symbol), \(outcome.rows) rows (\(outcome.layout.rawValue)), \(what): \(parts.joined(separator: ", "))"
        if !outcome.problems.isEmpty { text += "; bad rows: \(outcome.problems.summary)" }
        if !outcome.notes.isEmpty { text += "; \(outcome.notes.joined(separator: "; "))" }
        return text
    }
}
