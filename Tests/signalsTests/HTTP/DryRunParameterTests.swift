import Contracts
import Synchronization
import TestSupport
import Testing

@testable import signals

@Suite("Declared parameters", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct DryRunParameterTests {
    private static let declared = """

        [parameters]
        plain = 1
        [parameters.threshold]
        type = "number"
        default = 0.5
        minimum = 0
        maximum = 1
        """

    @Test("Are checked at upload, and may have another value in a dry run, within their bounds")
    func parameters() async throws {
        try await withPlatform { platform in
            let client = try platform.client(.provider())
            let id = try #require(try await client.post("/api/signals", json: ["name": "Momentum"] as JSONValue).json()["id"]?.string)
            let bad = TestPlatform.manifest + Self.declared.replacing("0.5", with: "1.5")
            let refused = try await client.post("/api/signals/\(id)/versions", json: TestPlatform.files(manifest: bad))
            #expect(refused.verdict == "422 bad_manifest" && refused.text.contains("parameters.threshold.default"), "\(refused.text)")
            let taken = try await client.post(
                "/api/signals/\(id)/versions",
                json: TestPlatform.files(manifest: TestPlatform.manifest + Self.declared)
            )
            #expect(taken.status == 201, "\(taken.text)")
            let path = "/api/signals/\(id)/versions/1/dry-run"
            let run = try await client.post(path, json: ["parameters": ["threshold": 0.25]] as JSONValue)
            #expect(run.status == 202, "\(run.text)")
            let job = try #require(platform.jobs.state.withLock { $0.requests.last })
            #expect(job.spec["manifest"]?["parameters"] == ["plain": 1, "threshold": 0.25])
            for (given, field) in [(["threshold": 2] as JSONValue, "threshold"), (["plain": 2], "plain"), (["other": 2], "other")] {
                let answer = try await client.post(path, json: ["parameters": given] as JSONValue)
                #expect(answer.verdict == "422 invalid_parameter" && answer.problemField == "parameters.\(field)", "\(answer.text)")
            }
        }
    }
}
