import Bars
import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#endif

/// Times what bars cost and prints one JSON line a result; `./auspex bench` runs it beside its peers.
///
/// `bars-bench resample|chunks FOLDER` works on raw little-endian columns (`ts` in nanoseconds, `open`, `high`, `low`, `close` as Float64, `volume` as Int64,
/// each in `<name>.bin`); `bars-bench stored SYMBOL` on what marketdata stored, in `AUSPEX_DATABASE_URL` and `AUSPEX_REDIS_CACHE_URL`.
@main
enum Main {
    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        let environment = ProcessInfo.processInfo.environment
        do { try await run(arguments, environment) } catch {
            print("bars-bench: \(error)")
            exit(1)
        }
    }

    private static func run(_ arguments: [String], _ environment: [String: String]) async throws {
        switch (arguments.first, arguments.count) {
        case ("resample", 2): resample(try RawColumns(folder: arguments[1]).series(pricePlaces: 2))
        case ("chunks", 2): try chunks(RawColumns(folder: arguments[1]).series(pricePlaces: 2))
        case ("stored", 2):
            guard let database = environment["AUSPEX_DATABASE_URL"], let redis = environment["AUSPEX_REDIS_CACHE_URL"] else {
                print("bars-bench stored: AUSPEX_DATABASE_URL and AUSPEX_REDIS_CACHE_URL are needed")
                exit(64)
            }
            try await Stored(database: database, redis: redis, symbol: arguments[1]).measure()
        default:
            print("usage: bars-bench resample FOLDER | chunks FOLDER | stored SYMBOL")
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
        for (day, chunk) in zip(days, encoded) where try DayChunk.decode(chunk) != day { throw BenchError("a day did not come back as it was") }
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

/// Why nothing can be measured, in one line.
struct BenchError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
