import Contracts
import Cryptography
import HTTPServing
import Synchronization
import TestSupport
import Testing

@testable import signals

/// Executors agree on the packages of a version: the first lock counts, for ever, and only within the job's token.
@Suite("Locks of versions", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct EnvironmentLockTests {
    private static func lock(_ version: String) -> String {
        "six==\(version) \\\n    --hash=sha256:\(SHA256.digest(utf8: version).hex)\n"
    }

    private struct House {
        let executor: RequestClient
        let signalID: SignalID
        let version: SHA256Digest

        func headers(signal: SignalID?, version: SHA256Digest?) throws -> [(String, String)] {
            let claims = JobTokenClaims(
                jobID: .make(),
                attemptID: .make(),
                kind: "signal_run",
                signalID: signal,
                codeSHA256: version,
                files: [],
                instruments: [],
                asOf: .now(),
                now: .now(),
                lifetimeSeconds: 60
            )
            return [("X-Auspex-Job", try JWT.sign(claims, with: TestPlatform.scheduler))]
        }

        func put(_ text: String, platform: String = "3.11-linux-x86_64", signal: SignalID? = nil, version: SHA256Digest? = nil) async throws
            -> RequestClient.Answer
        {
            let headers = try headers(signal: signal ?? signalID, version: version ?? self.version)
            return try await executor.send(.put, "/internal/v1/locks/\(platform)", headers: headers, body: Array(text.utf8))
        }

        func get(platform: String = "3.11-linux-x86_64", version: SHA256Digest? = nil) async throws -> RequestClient.Answer {
            try await executor.get("/internal/v1/locks/\(platform)", headers: headers(signal: signalID, version: version ?? self.version))
        }
    }

    private func withHouse(_ body: (House) async throws -> Void) async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            let published = try await platform.service("scheduler", key: TestPlatform.scheduler).get("/internal/v1/published").json()
            let text = try #require(published["signals"]?[0]?["version_sha256"]?.string)
            let version = try #require(SHA256Digest(hex: text))
            try await body(House(executor: platform.service("executor", key: TestPlatform.executor), signalID: id, version: version))
        }
    }

    @Test func theFirstLockOfAVersionCountsForEver() async throws {
        try await withHouse { house in
            let missing = try await house.get()
            #expect(missing.status == 404)
            let first = try await house.put(Self.lock("1.16.0"))
            #expect(first.status == 200 && first.text == Self.lock("1.16.0"))
            let second = try await house.put(Self.lock("1.17.0"))
            #expect(second.text == Self.lock("1.16.0"), "who comes later is told what counts")
            let found = try await house.get()
            #expect(found.text == Self.lock("1.16.0"))
            let other = try await house.put(Self.lock("1.17.0"), platform: "pypy3.9-linux-x86_64")
            #expect(other.text == Self.lock("1.17.0"), "another Python has other files")
        }
    }

    @Test func executorsThatResolveAtOnceAgree() async throws {
        try await withHouse { house in
            let answers = try await withThrowingTaskGroup(of: String.self) { group in
                for number in 0..<8 { group.addTask { try await house.put(Self.lock("1.\(number).0")).text } }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(answers.count == 1)
        }
    }

    @Test func aTokenReachesOnlyItsOwnVersion() async throws {
        try await withHouse { house in
            let stranger = try await house.put(Self.lock("1.0"), signal: .make())
            #expect(stranger.verdict == "403 outside_job_token")
            let noVersion = try await house.put(Self.lock("1.0"), version: SHA256.digest(utf8: "no version"))
            #expect(noVersion.verdict == "403 outside_job_token")
            let bare = try await house.executor.get("/internal/v1/locks/3.11-linux-x86_64")
            #expect(bare.verdict == "401 job_token_missing")
            let place = try await house.put(Self.lock("1.0"), platform: "Ä")
            #expect(place.status == 404)
        }
    }

    @Test(arguments: [
        "", "six==1.0\n", "six \\\n    --hash=sha256:00\n", "-r /etc/passwd\n", "--index-url https://elsewhere.example/simple\n",
        "six @ https://elsewhere.example/six.whl\n",
        "six==1.0 \\\n    --hash=md5:00\n", "six==1.0 --hash=sha256:00 --index-url x\n",
    ])
    func whatIsNoLockIsNotKept(text: String) async throws {
        try await withHouse { house in
            let answer = try await house.put(text)
            #expect(answer.verdict == "400 bad_lock")
            let found = try await house.get()
            #expect(found.status == 404)
        }
    }

    @Test func aVersionForAPythonThatNobodyHasIsRefusedWithThoseThatThereAre() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            let id = try await platform.publish(provider)
            let shelf = [
                WorkerPython(implementation: "pypy", series: "pypy3.9", version: "pypy3.9.16"),
                WorkerPython(implementation: "cpython", series: "3.11", version: "3.11.2"),
            ]
            func upload(_ python: String) async throws -> RequestClient.Answer {
                try await client.post(
                    "/api/signals/\(id)/versions",
                    json: TestPlatform.files(manifest: "python = \"\(python)\"\n" + TestPlatform.manifest)
                )
            }
            let unknown = try await upload("3.12")
            #expect(unknown.status == 201, "with no executor nobody can say")
            platform.pythons.present.withLock { $0 = [shelf, shelf] }
            for python in ["3.11", "3.11.2", "pypy3.9", "pypy3.9.16"] {
                let taken = try await upload(python)
                #expect(taken.status == 201, "\(python): \(taken.text)")
            }
            let refused = try await upload("3.12")
            #expect(refused.status == 422 && refused.text.contains("no executor has Python 3.12; there are 3.11, pypy3.9"), "\(refused.text)")
            // Any of several executors may be given a run of it.
            platform.pythons.present.withLock { $0 = [shelf, [shelf[1]], shelf] }
            let taken = try await upload("3.11")
            #expect(taken.status == 201)
            let lacking = try await upload("pypy3.9")
            #expect(lacking.status == 422 && lacking.text.contains("1 of 3 executors lack Python pypy3.9"), "\(lacking.text)")
            #expect(lacking.text.contains("unknown_python") && lacking.text.contains("all have 3.11"))
            platform.pythons.present.withLock { $0 = [[shelf[0]], [shelf[1]]] }
            let disjoint = try await upload("3.11")
            #expect(disjoint.status == 422 && disjoint.text.contains("there is no Python that all of them have"), "\(disjoint.text)")
            let nonsense = try await upload("3.7")
            #expect(nonsense.text.contains("bad_manifest"))
        }
    }

    @Test func everyBadLineOfRequirementsIsToldAtUpload() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            let id = try await platform.publish(provider)
            let files = TestPlatform.files(requirements: "numpy\n-r other.txt\npandas==banana\n")
            let refused = try await client.post("/api/signals/\(id)/versions", json: files)
            #expect(refused.status == 422)
            #expect(refused.text.contains("requirements.txt:2") && refused.text.contains("requirements.txt:3"), "\(refused.text)")
        }
    }
}
