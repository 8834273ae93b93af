import Contracts
import Cryptography
import Foundation
import Glibc
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// `marketdata iqfeed-keepalive` as an operator runs it: the built program, its settings, its doors, real time.
@Suite(.timeLimit(.minutes(10))) struct KeepAliveCommandTests {
    /// The program beside the one that runs the tests.
    private static let program: String = {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return String(own[..<(own.lastIndex(of: "/") ?? own.endIndex)]) + "/marketdata"
    }()
    private static let client = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "fake_iqconnect.py").path()

    @Test func itKeepsTheClientProgramRunningAndTellsOfIt() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "keepalive-\(UUID().uuidString)").path()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let credentials = try TestCredentials()
        let key = try credentials.key(of: "marketdata")
        try key.pem().write(toFile: folder + "/key.pem", atomically: true, encoding: .utf8)
        let keys = JWKSet(keys: [key.verifyingKey.jwk(service: "marketdata")])
        try Data(try WireJSON.encode(keys)).write(to: URL(filePath: folder + "/services.json"))
        // Secrets are read only from files that nobody else can read.
        for file in ["key.pem", "services.json"] { chmod(folder + "/" + file, 0o600) }
        try "open-sesame-71\n".write(toFile: folder + "/password", atomically: true, encoding: .utf8)
        let ports = try await LineServer.freePorts(3, on: TestLoop.shared)
        let watchdog = try await ChildProgram.start(
            ["sh", "-c", "exec \(Self.program) iqfeed-keepalive > \(folder)/log 2>&1"],
            environment: [
                "PATH": "/usr/bin:/bin", "AUSPEX_SERVICE_KEY_FILE": folder + "/key.pem", "AUSPEX_SERVICES_JWKS_FILE": folder + "/services.json",
                "AUSPEX_INTERNAL_PORT": "\(ports[0])", "AUSPEX_DTN_ADMIN_PORT": "\(ports[1])", "AUSPEX_DTN_LEVEL1_PORT": "\(ports[2])",
                "AUSPEX_DTN_PRODUCT_ID": "PRODUCT", "AUSPEX_DTN_LOGIN": "490914", "AUSPEX_DTN_PASSWORD_FILE": folder + "/password",
                "AUSPEX_DTN_SILENCE": "12",
                "AUSPEX_DTN_COMMAND": "python3 \(Self.client) \(ports[1]) \(ports[2]) \(folder)/record",
            ],
            on: TestLoop.shared
        )
        defer { watchdog.signal(SIGKILL) }
        func log() -> String { (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? "" }
        func clients() -> [Int32] {
            let text = (try? String(contentsOfFile: folder + "/record", encoding: .utf8)) ?? ""
            return text.split(separator: "\n").compactMap { line in
                guard let entry = try? JSONDecoder().decode(KeepAliveProcessTests.Entry.self, from: Data(line.utf8)), entry.started != nil else {
                    return nil
                }
                return entry.pid
            }
        }
        defer { for client in clients() { kill(client, SIGKILL) } }
        let http = RequestClient(baseURL: "http://127.0.0.1:\(ports[0])")
        func isReady() async -> Bool { (try? await http.get("/readyz").status) == 200 }
        try await eventually("it works: \(log())") { await isReady() }
        let first = try #require(clients().last)

        kill(first, SIGKILL)
        try await eventually("the killed one is replaced: \(log())") {
            clients().count == 2 && log().contains("alarm: IQFeed's client program failed")
        }
        try await eventually("it works again: \(log())") { await isReady() }

        #expect(try await http.get("/healthz").status == 200)
        let metrics = try await http.get("/metrics").text
        #expect(metrics.contains("marketdata_iqfeed_client_up 1"))
        #expect(metrics.contains("marketdata_iqfeed_client_failures_total{reason=\"gone\"} 1"))
        #expect(try await http.post(KeepAliveAnswer.path, json: JSONValue.object([:])).status == 401)
        let token = try credentials.serviceToken("marketdata", audience: "marketdata")
        let asked = try await http.with(header: "Authorization", "Service \(token)").post(KeepAliveAnswer.path, json: JSONValue.object([:]))
        #expect(try asked.decode(KeepAliveAnswer.self) == KeepAliveAnswer(live: true, detail: ""))

        watchdog.signal(SIGTERM)
        #expect(await watchdog.waitForExit() == .code(0))
        for client in clients() { try await eventually("client \(client) is gone") { kill(client, 0) != 0 } }
        #expect(!log().contains("open-sesame-71"))
        #expect(!log().contains("490914"))
    }

    @Test func whatIsMissingIsNamed() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "keepalive-\(UUID().uuidString)").path()
        defer { try? FileManager.default.removeItem(atPath: file) }
        func run(_ words: String) async throws -> ChildProgram.Exit {
            try await ChildProgram.start(
                ["sh", "-c", "exec \(Self.program) \(words) > \(file) 2>&1"],
                environment: ["PATH": "/usr/bin:/bin"],
                on: TestLoop.shared
            )
            .waitForExit()
        }
        #expect(try await run("iqfeed-keepalive") == .code(78))
        #expect(try String(contentsOfFile: file, encoding: .utf8).contains("AUSPEX_DTN_PASSWORD is not set"))
        #expect(try await run("iqfeed-keepalive --help") == .code(0))
        let help = try String(contentsOfFile: file, encoding: .utf8)
        for setting in ["AUSPEX_DTN_PASSWORD[_FILE]", "AUSPEX_DTN_COMMAND", "AUSPEX_DTN_SILENCE"] { #expect(help.contains(setting)) }
        #expect(try await run("--help") == .code(0))
        #expect(try String(contentsOfFile: file, encoding: .utf8).contains("AUSPEX_DTN_HOST"))
    }
}
