/// What the path of a file says about its content: Lean's folders, freqtrade's and HistData's file names.
struct SourceName: Sendable, Equatable {
    /// Lean's place of a file: `<asset>/<market>/<resolution>/…`.
    struct Lean: Sendable, Equatable {
        var asset: String
        var market: String
        var resolution: String
        var ticker: String
        var isQuote: Bool?
        /// `yyyymmdd` of files that hold one day.
        var date: String?
    }

    /// The last part of the path.
    var fileName: String
    /// The last part without its extensions.
    var stem: String
    /// The folder just above.
    var folder: String
    /// Lean's reading of the path, where it has one.
    var lean: Lean?

    init(path: String) {
        let parts = path.split(separator: "/").map(String.init)
        fileName = parts.last ?? path
        folder = parts.dropLast().last ?? ""
        stem = String(fileName.prefix { $0 != "." })
        if fileName.filter({ $0 == "." }).count > 1, let end = fileName.lastIndex(of: ".") {
            // 6EH4.XCME_1min_bars_20240101_20240131.csv.gz keeps its exchange; only known extensions fall off.
            var name = String(fileName[..<end])
            for known in [".csv", ".json", ".txt", ".parquet", ".feather"] where name.hasSuffix(known) { name.removeLast(known.count) }
            stem = name
        }
        lean = Self.lean(parts)
    }

    /// Lean's entry names say date, ticker and kind even when the path is lost: `20131007_aig_Trade_Tick.csv`.
    init(path: String, entryName: String) {
        self.init(path: path)
        guard lean == nil else { return }
        let words = entryName.lowercased().split { $0 == "_" || $0 == "." }.map(String.init)
        guard words.count == 5, words[0].count == 8, words[0].allSatisfy(\.isNumber), words[4] == "csv" else { return }
        let kind = ["trade", "quote"].first { words[2] == $0 || words[3] == $0 }
        let resolution = ["tick", "second", "minute"].first { words[2] == $0 || words[3] == $0 }
        guard let kind, let resolution else { return }
        lean = Lean(asset: "", market: "", resolution: resolution, ticker: words[1], isQuote: kind == "quote", date: words[0])
    }

    /// HistData's files in its several layouts, all on New York's clock and made of bids.
    private var isHistData: Bool { fileName.uppercased().hasPrefix("DAT_") }
    /// The zone of a vendor's clock, told by the way in which he names his files.
    var vendorZone: String? { isHistData ? "America/New_York" : nil }
    /// What the prices of a vendor are, told by the way in which he names his files.
    var vendorSide: PriceSide? { isHistData ? .bid : nil }

    private static func lean(_ parts: [String]) -> Lean? {
        let assets = ["equity", "crypto", "cryptofuture", "forex", "index", "future", "cfd"]
        let resolutions = ["tick", "second", "minute", "hour", "daily"]
        guard let file = parts.last?.lowercased(), file.hasSuffix(".zip") else { return nil }
        let stem = String(file.dropLast(4))
        guard let at = parts.lastIndex(where: { resolutions.contains($0) }), at >= 2, assets.contains(parts[at - 2]) else { return nil }
        let words = stem.split(separator: "_").map(String.init)
        let kind = words.last.flatMap { $0 == "quote" ? true : $0 == "trade" ? false : nil }
        if at + 3 == parts.count, words.count == 2, words[0].count == 8, words[0].allSatisfy(\.isNumber) {
            return Lean(asset: parts[at - 2], market: parts[at - 1], resolution: parts[at], ticker: parts[at + 1], isQuote: kind, date: words[0])
        }
        guard at + 2 == parts.count, let ticker = words.first else { return nil }
        return Lean(asset: parts[at - 2], market: parts[at - 1], resolution: parts[at], ticker: ticker, isQuote: kind, date: nil)
    }
}
