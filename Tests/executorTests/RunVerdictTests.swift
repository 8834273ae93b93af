import Contracts
import Testing

@testable import executor

/// What authors' code writes to the result pipe by itself, past the SDK: every word of it is bounded in bytes.
@Suite struct RunVerdictTests {
    private static let accents = "a" + String(repeating: "\u{301}", count: 100_000)
    private static let families = String(repeating: "\u{1F468}\u{200D}", count: 60_000)

    private static func verdict(_ answer: [UInt8], exitCode: Int = 0, printed: String = "") -> RunVerdict {
        var log = CapturedLog(capacity: 65_536)
        log.append(Array(printed.utf8))
        let outcome = SandboxOutcome(
            exitCode: exitCode,
            killer: nil,
            outOfMemory: false,
            hitProcessLimit: false,
            wallTime: .seconds(1),
            cpuSeconds: 1,
            memoryPeakBytes: 1,
            result: answer,
            log: log
        )
        let output = ManifestOutput(kind: .quantiles, instrument: "BTCUSD", horizonSeconds: 60)
        let check = RowCheck(output: output, asOf: Timestamp(seconds: 0))
        return RunVerdict(outcome: outcome, limits: .of(.small, wallTime: .seconds(10)), level: .full, check: check)
    }

    private static func row(_ changes: [String: JSONValue]) -> JSONValue {
        let plain: [String: JSONValue] = [
            "row": 0, "instrument": "BTCUSD", "kind": "quantiles", "value": ["0.5": "1"], "target_from": "1970-01-01T00:01:00.000000Z",
            "target_to": "1970-01-01T00:02:00.000000Z",
        ]
        return .object(plain.merging(changes) { $1 })
    }

    @Test(arguments: [accents, families, String(repeating: "\u{1}", count: 100_000)])
    func noMessageIsLong(text: String) {
        let answers: [JSONValue] = [
            ["error": ["kind": "exception", "message": .string(text)]],
            ["rows": [Self.row([text: 1])]],
            ["rows": [Self.row(["value": [text: "1"]])]],
            ["rows": [Self.row(["value": [String(repeating: "0", count: 50) + "." + String(repeating: "5", count: 90_000): "x"]])]],
        ]
        for answer in answers {
            let verdict = Self.verdict([UInt8(ascii: "\n")] + WireJSON.encode(answer))
            #expect(!verdict.message.isEmpty && verdict.message.utf8.count <= FinishedJob.maximumMessageBytes, "\(verdict.message.utf8.count)")
        }
        let silent = Self.verdict([], exitCode: 1, printed: text)
        #expect(silent.failureKind == .infra && silent.message.utf8.count < 1000)
    }

    @Test(arguments: [#"{"error": {"message": "\ud800"}}"#, #"{"error": {"message": "\udc00\ud800x"}}"#, #"{"error": {"message": "a\u0000b"}}"#])
    func brokenTextIsAFailureOfTheCode(answer: String) {
        let verdict = Self.verdict([UInt8(ascii: "\n")] + Array(answer.utf8))
        #expect(verdict.failureKind == .exception || verdict.failureKind == .invalidOutput)
        #expect(!verdict.message.isEmpty && !verdict.message.utf8.contains(0))
    }
}
