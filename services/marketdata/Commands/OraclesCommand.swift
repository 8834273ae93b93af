import ServiceRuntime

/// `marketdata oracles DIR`: holds the importers and the resampling to facts of real data; needs no server.
enum OraclesCommand {
    static let subcommand = Subcommand<MarketdataSettings>(name: "oracles", help: "DIR: checks known facts of the market data in a folder") {
        words,
        _ in
        guard words.count == 1, let directory = words.first else { throw CommandError(message: "usage: marketdata oracles DIR") }
        guard !Files.list(directory).isEmpty else { throw CommandError(message: "\(directory) holds no files") }
        let results = OracleSuite(data: OracleData(directory: directory, readFile: Files.read)).run { print($0) }
        let failed = results.count { $0.passed == false }
        let skipped = results.count { $0.passed == nil }
        print("\(results.count - failed - skipped) passed, \(failed) failed, \(skipped) skipped")
        return failed == 0 ? 0 : 1
    }
}
