import Contracts
import FoundationEssentials
import Synchronization
import Testing

@testable import executor

/// No password of an index or a proxy gets to authors, however the installer writes it.
@Suite struct IndexSecretsTests {
    private static let index = PackageIndex(
        environment: [
            "UV_DEFAULT_INDEX": "https://reader:p%40ss-word@packages.example/simple", "UV_INDEX": "https://only-a-token@extra.example/simple",
            "HTTPS_PROXY": "http://us:pw@proxy.example:3128",
        ]
    ) { _ in nil }

    @Test func allWritingsOfASecretAreLeftOut() {
        let secrets = IndexSecrets(Self.index)
        let encoded = Data("reader:p@ss-word".utf8).base64EncodedString()
        let text = """
            GET https://reader:p%40ss-word@packages.example/simple/six/ failed
            https://only-a-token@extra.example and http://us:pw@proxy.example:3128, Authorization: Basic \(encoded)
            the password p@ss-word or p%40ss-word was refused
            """
        let hidden = secrets.hidden(in: text)
        for secret in ["p%40ss-word", "p@ss-word", "only-a-token", "us:pw", encoded] { #expect(!hidden.contains(secret), "\(hidden)") }
        #expect(hidden.contains("****@packages.example/simple/six/ failed") && hidden.contains("****@proxy.example:3128"))
        #expect(IndexSecrets().hidden(in: text) == text)
    }

    @Test func neitherReasonNorLogHasThem() {
        let secrets = IndexSecrets(Self.index)
        var captured = CapturedLog(capacity: 4096)
        captured.append(Array("error: Failed to fetch: `https://reader:p%40ss-word@packages.example/simple/six/`\n".utf8))
        let outcome = SandboxOutcome(
            exitCode: 1,
            outOfMemory: false,
            hitProcessLimit: false,
            wallTime: .seconds(1),
            cpuSeconds: 0,
            memoryPeakBytes: 0,
            result: [],
            log: captured
        )
        let error = EnvironmentError.from(step: "resolving", outcome: outcome, secrets: secrets)
        #expect(error.reason.contains("****@packages.example") && !error.reason.contains("p%40ss-word"), "\(error.reason)")

        // In pieces, as a pipe gives them, to who listens from the beginning and to who comes later.
        let log = BuildLog(secrets: secrets)
        let heard = Mutex("")
        let number = log.listen { text, _ in heard.withLock { $0 += text } }
        for piece in ["fetching https://reader:p%40", "ss-word@packages.example/simple\nof only-a-", "token"] { log.append(piece) }
        #expect(heard.withLock { $0 } == "fetching https://****@packages.example/simple\n")
        log.endStep()
        log.leave(number)
        let whole = "fetching https://****@packages.example/simple\nof ****\n"
        #expect(heard.withLock { $0 } == whole && log.text == whole)
        let late = Mutex("")
        _ = log.listen { text, _ in late.withLock { $0 += text } }
        #expect(late.withLock { $0 } == whole)
        // A line without end, with the password where it would be cut.
        log.append(String(repeating: "x", count: 8000) + "https://reader:p%40ss-word@packages.example/" + String(repeating: "y", count: 1500))
        log.endStep()
        #expect(!log.text.contains("ss-word") && log.text.utf8.count > 9000)
    }
}
