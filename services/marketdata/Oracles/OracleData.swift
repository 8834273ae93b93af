import Bars

/// Reads files of the data folder through the same importer that serves uploads.
struct OracleData {
    let directory: String
    let readFile: (String) -> [UInt8]?

    func file(_ path: String, symbol: String? = nil) throws -> ImportedFile {
        guard let bytes = readFile("\(directory)/\(path)") else { throw MissingFile(path: path) }
        let file = try FileImporter.read(bytes, path: path, options: ImportOptions(symbol: symbol))
        guard file.problems.isEmpty else { throw ImportError.badRows(file.problems) }
        return file
    }

    func bars(_ path: String, side: PriceSide = .trade, symbol: String? = nil) throws -> BarSeries {
        let file = try file(path, symbol: symbol)
        guard let series = file.series.first(where: { $0.side == side }) else {
            throw ImportError.unknownLayout("\(path) has no \(side.rawValue) bars")
        }
        return series.bars
    }

    func resample(_ series: BarSeries, seconds: Int, volumeRule: Resampler.VolumeRule = .sum) -> BarSeries {
        Resampler(grid: EpochGrid(intervalMicroseconds: Int64(seconds) * 1_000_000), volumeRule: volumeRule).resample(series)
    }
}

/// What two series have in common, bar by bar.
struct SeriesComparison {
    var left = 0
    var right = 0
    var equal = 0
    var differing: [Int64] = []
    var onlyLeft = 0
    var onlyRight = 0

    var isExact: Bool { left == right && equal == left }

    /// Compares times, prices and, if asked, volumes, exactly.
    init(_ made: BarSeries, _ vendor: BarSeries, volumes: Bool) {
        left = made.count
        right = vendor.count
        var one = 0
        var other = 0
        while one < left, other < right {
            if made.starts[one] < vendor.starts[other] {
                onlyLeft += 1
                one += 1
            } else if made.starts[one] > vendor.starts[other] {
                onlyRight += 1
                other += 1
            } else {
                if Self.same(made, one, vendor, other, volumes) { equal += 1 } else { differing.append(made.starts[one]) }
                one += 1
                other += 1
            }
        }
        onlyLeft += left - one
        onlyRight += right - other
    }

    private static func same(_ made: BarSeries, _ one: Int, _ vendor: BarSeries, _ other: Int, _ volumes: Bool) -> Bool {
        for column in [\BarSeries.open, \.high, \.low, \.close] where made[keyPath: column].text(at: one) != vendor[keyPath: column].text(at: other) {
            return false
        }
        return !volumes || made.volume?.text(at: one) == vendor.volume?.text(at: other)
    }
}
