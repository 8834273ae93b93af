import Bars

/// What the caller of an import may say that the file does not.
struct ImportOptions: Sendable, Equatable {
    var symbol: String?
    var timeZone: String?
    var assetClass: AssetClass?
    var calendar: ExchangeCalendar?
    var side: PriceSide?
    /// The length of the bars of a file whose rows do not tell it.
    var interval: BarInterval?
    /// How the numbers of a date follow one another where the file's dates can be read in two ways.
    var dateOrder: DateOrder?
    /// Which end of a bar its row is stamped with, where neither layout nor header say it.
    var stamps: Stamps?

    /// Whether the text was made of a file in a foreign format: row n of that file is line n + 1.
    var isConverted = false

    /// The two ends of a bar.
    enum Stamps: String, Sendable, CaseIterable { case start, end }
}

/// The layouts that are read.
enum ImportLayout: String, Sendable, CaseIterable {
    case leanTicks = "lean-ticks"
    case leanBars = "lean-bars"
    case iqfeedTicks = "iqfeed-ticks"
    case iqfeedBars = "iqfeed-bars"
    case histData = "histdata"
    case ninjaTrader = "ninjatrader"
    case csvBars = "csv-bars"
    case csvTrades = "csv-trades"
    case csvQuotes = "csv-quotes"
    case freqtradeBars = "freqtrade-bars"
    case freqtradeTrades = "freqtrade-trades"
    case leanFactors = "lean-factors"
    case leanMap = "lean-map"
    /// No file: the answers of a source's interface.
    case sourceAnswer = "source-answer"
}

/// One series read from a file.
struct ImportedSeries: Sendable {
    var intervalSeconds: Int
    var side: PriceSide
    var origin: SeriesOrigin
    var bars: BarSeries
    /// The stretch of time that the file speaks for (microseconds since 1970): on days of the file, a stored bar inside it that the file lacks is gone.
    var coverage: Range<Int64>
}

/// A file as it was understood, before anything is stored.
struct ImportedFile: Sendable {
    var layout: ImportLayout
    var symbol: String
    var assetClass: AssetClass
    var calendar: ExchangeCalendar
    var series: [ImportedSeries]
    /// Rows read, good and bad.
    var rows: Int
    var problems: RowProblems
    /// What was done to the times or left out, in plain words.
    var notes: [String]
}
