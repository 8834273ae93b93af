import Bars

#if canImport(Glibc)
    import Glibc
#endif

/// `bars-bench resample|encode|decode FOLDER`: times the arithmetic of bars on raw little-endian columns (`ts` in nanoseconds, `open`, `high`, `low`, `close`
/// as Float64, `volume` as Int64, each in `<name>.bin`) and prints one JSON line a result. `./auspex bench` runs it beside its peers.
@main
enum Main {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard let verb = arguments.first, let folder = arguments.dropFirst().first else {
            print("usage: bars-bench resample|chunks FOLDER")
            exit(64)
        }
        let series = try RawColumns(folder: folder).series(pricePlaces: 2)
        switch verb {
        case "resample": resample(series)
        case "chunks": try chunks(series)
        default:
            print("bars-bench: there is no \(verb)")
            exit(64)
        }
    }

    static func resample(_ series: BarSeries) {
        for step in [60, 300, 3_600] {
            let resampler = Resampler(grid: EpochGrid(intervalMicroseconds: Int64(step) * 1_000_000))
            var made = BarSeries.empty
            let median = medianSeconds(runs: 15) { made = resampler.resample(series) }
            let sums = [made.open, made.high, made.low, made.close].map { column in column.doubles().reduce(0, +) }
            let volume = made.volume.map { $0.doubles().reduce(0, +) } ?? 0
            print(
                """
                {"bench": "resample", "engine": "auspex", "step_s": \(step), "rows": \(series.count), "bars": \(made.count), \
                "wall_med_s": \(median), "rows_per_s": \(Double(series.count) / median), \
                "check": [\(made.count), \((made.starts.last ?? 0) * 1_000), \(sums.map { "\(rounded($0))" }.joined(separator: ", ")), \(volume)]}
                """
            )
        }
    }

    static func chunks(_ series: BarSeries) throws {
        let days = series.days
        var encoded: [[UInt8]] = []
        let encoding = medianSeconds(runs: 3) { encoded = days.map { DayChunk.encode($0) } }
        var rows = 0
        let decoding = try medianSeconds(runs: 7) { rows = try encoded.reduce(0) { try $0 + DayChunk.decode($1).count } }
        let bytes = encoded.reduce(0) { $0 + $1.count }
        for (day, chunk) in zip(days, encoded) where try DayChunk.decode(chunk) != day { fatalError("a day did not come back as it was") }
        print(
            """
            {"bench": "chunks", "engine": "auspex", "rows": \(rows), "days": \(days.count), "bytes": \(bytes), \
            "bytes_per_row": \(Double(bytes) / Double(rows)), "encode_s": \(encoding), "decode_s": \(decoding)}
            """
        )
    }

    private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }

    private static func medianSeconds(runs: Int, _ work: () throws -> Void) rethrows -> Double {
        try work()
        var seconds: [Double] = []
        let clock = ContinuousClock()
        for _ in 0..<runs {
            let time = try clock.measure { try work() }
            seconds.append(time / .seconds(1))
        }
        return seconds.sorted()[runs / 2]
    }
}
