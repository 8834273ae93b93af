import Contracts
import FoundationEssentials
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite(.enabled(if: TestServers.hasPostgres)) struct CommandTests {
    private func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.path() + "/auspex-marketdata-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder + "/more", withIntermediateDirectories: true)
        do {
            try await body(folder)
            try FileManager.default.removeItem(atPath: folder)
        } catch {
            try? FileManager.default.removeItem(atPath: folder)
            throw error
        }
    }

    private func settings(_ database: TestDatabase, _ folder: String) throws -> MarketdataSettings {
        var reader = SettingsReader(environment: [
            "AUSPEX_DATABASE_URL": database.url, "AUSPEX_BROKER_URL": "amqp://nobody@127.0.0.1:1/", "AUSPEX_REDIS_CACHE_URL": "redis://127.0.0.1:1",
            "AUSPEX_REDIS_LIMITS_URL": "redis://127.0.0.1:1", "AUSPEX_AUTH_URL": "http://127.0.0.1:1", "AUSPEX_SCHEDULER_URL": "http://127.0.0.1:1",
            "AUSPEX_BLOB_ROOT": folder,
            "AUSPEX_SERVICE_KEY_FILE": folder + "/BTCUSD.csv",
            "AUSPEX_SERVICES_JWKS_FILE": folder + "/BTCUSD.csv",
        ])
        let settings = MarketdataSettings(from: &reader)
        try reader.finish()
        return settings
    }

    private func write(_ text: String, _ path: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path))
    }

    @Test func foldersAreImportedAndBadFilesNamedByTheExitCode() async throws {
        try await withDatabase(service: "marketdata", catalogue: try Migrations.catalogue()) { database in
            try await withFolder { folder in
                try write(minutes(from: "2016-10-08T00:00:00Z", count: 5), folder + "/BTCUSD.csv")
                try write(minutes(from: "2016-10-09T00:00:00Z", count: 5), folder + "/more/ETHUSD.csv")
                try write("nothing that anybody knows", folder + "/more/notes.txt")
                let settings = try settings(database, folder)
                let run = ImportCommand.subcommand.run
                #expect(try await run([folder], { settings }) == 0)
                #expect(try await run([folder + "/BTCUSD.csv", "--symbol", "LTCUSD"], { settings }) == 0)
                #expect(try await run([folder + "/more/notes.txt"], { settings }) == 1)
                #expect(try await run([folder + "/missing.csv"], { settings }) == 1)
                #expect(try await run([], { settings }) == 64)
                await #expect(throws: CommandError.self) { try await run([folder, "--color", "red"], { settings }) }
                await #expect(throws: CommandError.self) { try await run([folder, "--price", "mid"], { settings }) }
                try await database.withPool { pool in
                    let symbols = try await pool.query("SELECT symbol FROM instruments ORDER BY symbol").map { try $0.column(0, as: String.self) }
                    #expect(symbols == ["BTCUSD", "ETHUSD", "LTCUSD"])
                    #expect(try await pool.query("SELECT id FROM imports").count == 3)
                }
            }
        }
    }

    /// A folder as Lean lays it out: names come first, whatever the order of the folders, and the report has a word on what it holds.
    @Test func aFolderOfLeansAndTheReportOnIt() async throws {
        try await withDatabase(service: "marketdata", catalogue: try Migrations.catalogue()) { database in
            try await withFolder { folder in
                let usa = folder + "/equity/usa"
                for place in ["daily", "factor_files", "map_files"] {
                    try FileManager.default.createDirectory(atPath: "\(usa)/\(place)", withIntermediateDirectories: true)
                }
                try write(minutes(from: "2016-10-08T00:00:00Z", count: 5), folder + "/BTCUSD.csv")
                try write("20140401 00:00,10000,10000,10000,10000,5\n20140403 00:00,20000,20000,20000,20000,5\n", usa + "/daily/goog.csv")
                try write("20040819,1,0.5,1\n20140402,1,0.5,1135.1\n20501231,1,1,0\n", usa + "/factor_files/googl.csv")
                try write("20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n", usa + "/map_files/goog.csv")
                try write("20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n", usa + "/map_files/googl.csv")
                let settings = try settings(database, folder)
                #expect(try await ImportCommand.subcommand.run([folder], { settings }) == 0)
                try await database.withPool { pool in
                    let rows = try await pool.query(
                        """
                        SELECT symbol || ' ' || (SELECT count(*) FROM chunks WHERE instrument_id = i.id) || ' '
                            || (SELECT count(*) FROM corporate_actions WHERE instrument_id = i.id)
                        FROM instruments i WHERE asset_class = 'equity' ORDER BY symbol
                        """
                    )
                    #expect(try rows.map { try $0.column(0, as: String.self) } == ["GOOG 1 0", "GOOGL 1 1"])
                }
                let run = QualityCommand.subcommand.run
                #expect(try await run(["GOOGL"], { settings }) == 0)
                #expect(try await run(["GOOCV", "--start", "2014-04-01T00:00:00Z"], { settings }) == 0)
                #expect(try await run([], { settings }) == 64)
                await #expect(throws: CommandError.self) { try await run(["NONE"], { settings }) }
                await #expect(throws: CommandError.self) { try await run(["GOOG", "--start", "1700-01-01T00:00:00Z"], { settings }) }
            }
        }
    }

    @Test func settingsNameWhatIsMissing() {
        var reader = SettingsReader(environment: [:])
        _ = MarketdataSettings(from: &reader)
        #expect(throws: SettingsError.self) { try reader.finish() }
    }
}
