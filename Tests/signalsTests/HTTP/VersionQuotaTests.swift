import Contracts
import Testing
import TestSupport

@testable import signals

@Suite("How many versions there may be", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct VersionQuotaTests {
    @Test("A signal's versions are counted, an account's bytes too; a refusal says the limit, and known files cost nothing")
    func limits() async throws {
        try await withPlatform(versions: .init(versionsPerSignal: 6, bytesPerAccount: 100_000)) { platform in
            let client = try platform.client(.provider())
            func signal() async throws -> String {
                try #require(try await client.post("/api/signals", json: ["name": "Momentum"] as JSONValue).json()["id"]?.string)
            }
            func upload(_ signal: String, _ app: String) async throws -> RequestClient.Answer {
                try await client.post("/api/signals/\(signal)/versions", json: TestPlatform.files(app: app))
            }
            let code = "def predict(context):\n    return 1\n"
            let first = try await signal()
            for number in 0..<6 { #expect(try await upload(first, code + "# \(number)\n").status == 201) }
            let seventh = try await upload(first, code)
            #expect(seventh.verdict == "409 version_limit")
            #expect(try seventh.json()["limit"] == 6 && seventh.json()["used"] == 6)
            #expect(try await client.post("/api/signals/\(first)/versions/1/rollback", json: JSONValue.object([:])).verdict == "409 version_limit")

            let second = try await signal()
            let large = code + "#" + String(repeating: "x", count: 60_000)
            #expect(try await upload(second, large).status == 201)
            let more = try await upload(second, code + "#" + String(repeating: "y", count: 60_000))
            #expect(more.verdict == "409 version_bytes_limit")
            #expect(try more.json()["limit"] == 100_000)
            #expect(try await upload(try await signal(), large).status == 201, "the same file again holds no more")
            #expect(try await platform.client(.provider()).post("/api/signals", json: ["name": "Other"] as JSONValue).status == 201)
        }
    }
}
