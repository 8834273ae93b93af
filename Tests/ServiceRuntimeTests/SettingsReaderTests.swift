import FoundationEssentials
import ServiceRuntime
import Testing

@Suite("Settings")
struct SettingsReaderTests {
    @Test("every problem is named in a line of its own, with the key and what would be right")
    func problems() {
        var reader = SettingsReader(environment: ["AUSPEX_PORT": "http", "AUSPEX_BROKER_URL": "amqp//user:secret@host", "AUSPEX_FLAG": "yes"])
        _ = reader.integer("AUSPEX_PORT", help: "port", default: 1, range: 0...65535)
        _ = reader.url("AUSPEX_BROKER_URL", help: "broker", schemes: ["amqp"], secret: true)
        _ = reader.boolean("AUSPEX_FLAG", help: "flag", default: false)
        _ = reader.string("AUSPEX_MISSING", help: "something needed")
        let error = #expect(throws: SettingsError.self) { try reader.finish() }
        let lines = error?.problems ?? []
        #expect(lines.count == 4)
        #expect(lines.contains("AUSPEX_PORT is 'http', but must be a whole number from 0 to 65535"))
        #expect(lines.contains("AUSPEX_MISSING is not set: something needed"))
        #expect(!lines.joined().contains("secret@"), "a secret must not be repeated")
    }

    @Test(
        "a URL with a bare % is refused here and not repeated: the database's own words about it would be",
        arguments: ["pass%word", "pass%", "pass%2"]
    )
    func percent(password: String) {
        var reader = SettingsReader(environment: ["AUSPEX_DATABASE_URL": "postgresql://user:\(password)@host/auspex"])
        _ = reader.url("AUSPEX_DATABASE_URL", help: "database", schemes: ["postgresql"], secret: true)
        let lines = (#expect(throws: SettingsError.self) { try reader.finish() })?.problems ?? []
        #expect(lines.count == 1 && lines[0].hasPrefix("AUSPEX_DATABASE_URL") && !lines[0].contains("pass"))
        var written = SettingsReader(environment: ["AUSPEX_DATABASE_URL": "postgresql://user:pass%25word@host/auspex"])
        _ = written.url("AUSPEX_DATABASE_URL", help: "database", schemes: ["postgresql"], secret: true)
        #expect(throws: Never.self) { try written.finish() }
    }

    @Test("a secret can stand in a file, and not in both places")
    func secretFile() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "auspex-secret-\(UUID().uuidString)")
        try Data("s3cret\n".utf8).write(to: path)
        defer { try? FileManager.default.removeItem(at: path) }
        var reader = SettingsReader(environment: ["AUSPEX_KEY_FILE": path.path()])
        #expect(reader.string("AUSPEX_KEY", help: "key", secret: true) == "s3cret")
        try reader.finish()
        var both = SettingsReader(environment: ["AUSPEX_KEY": "a", "AUSPEX_KEY_FILE": path.path()])
        _ = both.string("AUSPEX_KEY", help: "key", secret: true)
        #expect(throws: SettingsError.self) { try both.finish() }
        var absent = SettingsReader(environment: ["AUSPEX_KEY_FILE": path.path() + ".absent"])
        _ = absent.string("AUSPEX_KEY", help: "key", secret: true)
        #expect(throws: SettingsError.self) { try absent.finish() }
    }

    @Test("defaults hold where nothing is set, and an empty variable counts as not set")
    func defaults() throws {
        var reader = SettingsReader(environment: ["AUSPEX_NAME": ""])
        #expect(reader.string("AUSPEX_NAME", help: "name", default: "auspex") == "auspex")
        #expect(reader.seconds("AUSPEX_WAIT", help: "wait", default: 1.5, range: 0...10) == .milliseconds(1500))
        #expect(reader.choice("AUSPEX_LEVEL", help: "level", default: LogLevel.info) == .info)
        #expect(reader.optionalString("AUSPEX_OPTION", help: "option") == nil)
        try reader.finish()
    }
}
