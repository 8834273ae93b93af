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
            "AUSPEX_REDIS_LIMITS_URL": "redis://127.0.0.1:1", "AUSPEX_AUTH_URL": "http://127.0.0.1:1",
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

    @Test func settingsNameWhatIsMissing() {
        var reader = SettingsReader(environment: [:])
        _ = MarketdataSettings(from: &reader)
        #expect(throws: SettingsError.self) { try reader.finish() }
    }
}
