import ServiceRuntime
import Testing

@Suite("The command line of a service")
struct ServiceProgramTests {
    private struct Settings: ServiceSettings {
        let common: CommonSettings
        init(from reader: inout SettingsReader) { common = CommonSettings(from: &reader) }
    }

    @Test("what a command logs is not in its answer")
    func aCommandsLog() async throws {
        let ended = await #expect(processExitsWith: .exitCode(3), observing: [\.standardOutputContent, \.standardErrorContent]) {
            let say = Subcommand<Settings>(name: "say", help: "Says something.") { _, _ in
                Logger("loop").warning("a slow turn")
                print(#"{"said":true}"#)
                return 3
            }
            await ServiceProgram(name: "teller", summary: "Tells.", subcommands: [say], build: { _, _ in [] }).run(arguments: ["say"])
        }
        let (answer, log) = try #require(
            ended.map { (String(decoding: $0.standardOutputContent, as: UTF8.self), String(decoding: $0.standardErrorContent, as: UTF8.self)) }
        )
        #expect(answer.contains(#"{"said":true}"#) && !answer.contains("a slow turn"), "\(answer)")
        #expect(log.contains(#""service":"teller","logger":"loop","message":"a slow turn""#), "\(log)")
    }
}
