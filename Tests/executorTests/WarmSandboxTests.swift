import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import TestSupport
import Testing

@testable import executor

/// A sandbox that is started ahead of its run: what it may do until then, and that its run is like any other.
@Suite(.serialized) struct WarmSandboxTests {
    private static let levels: [SandboxLevel] = [.full, .reduced]

    private static let app = """
        import time
        from auspex import Prediction
        print("imported")
        def predict(context):
            print("called", len(context.bars()))
            return Prediction(1)
        """

    private static func fixture(_ level: SandboxLevel) async throws -> SandboxFixture? {
        let fixture = try await SandboxFixture.make(level: level, cgroupName: "auspex-warm", firstUserID: 400_001)
        if level == .full, !SandboxHost.isComplete(fixture.sandbox.host.cgroups) {
            print("skipped: no cgroups on this machine, the level full was not tested")
            return nil
        }
        return fixture
    }

    private func started(
        _ app: String,
        _ fixture: SandboxFixture,
        folder: String? = nil,
        waiting: WaitingLimits = WaitingLimits(time: .seconds(120), memoryBytes: 96 << 20, isGentle: true),
        wallTime: Duration = .seconds(3600),
        onPrint: (@Sendable (String) -> Void)? = nil
    ) async throws -> (StartedSandbox, SandboxLimits) {
        let limits = SandboxLimits.of(.small, wallTime: wallTime)
        let command = fixture.program(try folder ?? SandboxFixture.folder(app), limits, isAhead: true)
        return (try await fixture.sandbox.start(command, waiting: waiting, onPrint: onPrint), limits)
    }

    @Test(arguments: levels) func aRunThatWaitedIsLikeAnyOther(_ level: SandboxLevel) async throws {
        guard let fixture = try await Self.fixture(level) else { return }
        let (sandbox, limits) = try await started(Self.app, fixture)
        let bytes = try #require(await sandbox.idle())
        #expect(bytes > 1 << 20 && bytes < 96 << 20)
        #expect(!sandbox.hasEnded)
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
        let outcome = try await sandbox.outcome()
        let verdict = fixture.verdict(outcome, limits)
        #expect(verdict.values == ["1"], "\(verdict) \(outcome.log.text)")
        #expect(outcome.log.text == "imported\ncalled 200\n")
        #expect(sandbox.hasEnded)
    }

    /// The order may come before the imports are over: the runner finds it when it is ready.
    @Test func aRunThatBeginsDuringItsImportsIsLikeAnyOther() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let (sandbox, limits) = try await started(Self.app, fixture)
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
        let outcome = try await sandbox.outcome()
        #expect(fixture.verdict(outcome, limits).values == ["1"], "\(outcome.log.text)")
    }

    @Test func whatTheImportRaisedIsTheRunsOwnException() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let (sandbox, limits) = try await started("def helper():\n    raise ValueError('broken model')\nhelper()\n", fixture)
        #expect(await sandbox.idle() != nil)
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
        let verdict = fixture.verdict(try await sandbox.outcome(), limits)
        #expect(verdict.failureKind == .exception && verdict.message.hasPrefix("ValueError: broken model"), "\(verdict)")
        #expect(verdict.message.contains("/app/app.py\", line 2, in helper"))
    }

    @Test(arguments: levels) func theTimeOfTheRunBeginsWithItsOrder(_ level: SandboxLevel) async throws {
        guard let fixture = try await Self.fixture(level) else { return }
        let (sandbox, _) = try await started("import signal\ndef predict(context):\n    signal.pause()\n", fixture)
        #expect(await sandbox.idle() != nil)
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(1))
        let outcome = try await sandbox.outcome()
        #expect(outcome.killer == .deadline)
        #expect(outcome.wallTime >= .seconds(1) && outcome.wallTime < .seconds(60))
    }

    @Test(arguments: levels) func whatWaitsTooLongIsKilled(_ level: SandboxLevel) async throws {
        guard let fixture = try await Self.fixture(level) else { return }
        let (sandbox, _) = try await started(Self.app, fixture, waiting: WaitingLimits(time: .seconds(1)))
        let outcome = try await sandbox.outcome()
        #expect(outcome.killer == .outside && !outcome.hasBegun, "\(outcome)")
        // Its imports were over, or on a busy machine they were not: either way nothing but the word "ready" came.
        #expect([[], [UInt8(ascii: "\n")]].contains(outcome.result), "\(outcome)")
    }

    /// Threads that go on after the imports get a hundredth of a processor, and the whole again with the run.
    @Test func anIdleSandboxHasNoProcessor() async throws {
        guard let fixture = try await Self.fixture(.full) else { return }
        // It measures itself, from the moment at which the test knows that it is idle: how long the news of that took is no part of it.
        let app = """
            import _thread, time
            from auspex import Prediction
            def burn():
                open("/app/idle").close()
                used, end = time.process_time(), time.monotonic() + 2
                while time.monotonic() < end: pass
                print(time.process_time() - used, flush=True)
            _thread.start_new_thread(burn, ())
            def predict(context): return Prediction(1)
            """
        let folder = try SandboxFixture.folder(app)
        try #require(mkfifo(folder + "/idle", 0o644) == 0 && chmod(folder + "/idle", 0o644) == 0)
        let measured = TestSignal<String>()
        let (sandbox, limits) = try await started(app, fixture, folder: folder) { measured.signal($0) }
        #expect(await sandbox.idle() != nil)
        // Whoever opens a pipe to read it waits until somebody can write into it.
        let news = open(folder + "/idle", O_RDWR | O_CLOEXEC)
        defer { close(news) }
        try #require(news >= 0)
        let used = try #require(Double(try await measured.next().split(separator: "\n").first ?? ""))
        // Two seconds of a whole processor would be two.
        #expect(used < 1, "\(used) s of processor time before the run")
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
        #expect(fixture.verdict(try await sandbox.outcome(), limits).values == ["1"])
    }

    @Test(arguments: levels) func anIdleSandboxKeepsTheMemoryThatItHas(_ level: SandboxLevel) async throws {
        guard let fixture = try await Self.fixture(level) else { return }
        let app = """
            import _thread, time
            hoard = []
            def grow():
                time.sleep(0.5)
                while True: hoard.append(bytearray(4 << 20))
            _thread.start_new_thread(grow, ())
            def predict(context): pass
            """
        let (sandbox, _) = try await started(app, fixture)
        let outcome = try await sandbox.outcome()
        #expect(outcome.outOfMemory && !outcome.hasBegun, "\(outcome)")
        // Without a group of its own each process is bounded by its class, and all are looked at now and then.
        #expect(outcome.memoryPeakBytes <= (level == .full ? 96 : 600) << 20)
    }

    @Test func aRunHasTheMemoryOfItsClassAgain() async throws {
        guard let fixture = try await Self.fixture(.full) else { return }
        let app = "from auspex import Prediction\ndef predict(context):\n    room = bytearray(200 << 20)\n    return Prediction(1 if room else 0)\n"
        let (sandbox, limits) = try await started(app, fixture)
        #expect(await sandbox.idle() != nil)
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
        #expect(fixture.verdict(try await sandbox.outcome(), limits).values == ["1"])
    }

    @Test func aRunThatBeginsIsNotWaitedForAsIdle() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let (sandbox, _) = try await started("import signal\nwhile True: signal.pause()\n", fixture)
        async let idle = sandbox.idle()
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(600))
        #expect(await idle == nil)
        #expect(await sandbox.idle() == nil)
        #expect(!sandbox.hasEnded)
        await sandbox.discard()
    }

    @Test(arguments: levels) func whatEndedWhileItWaitedHasNoRun(_ level: SandboxLevel) async throws {
        guard let fixture = try await Self.fixture(level) else { return }
        let (sandbox, _) = try await started("import os\nos._exit(3)\n", fixture)
        #expect(await sandbox.idle() == nil)
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
        let outcome = try await sandbox.outcome()
        #expect(outcome.exitCode == 3 && !outcome.hasBegun)
    }

    // MARK: Code that means harm

    private static let taken = """
        import os, signal, socket, time
        from auspex import Prediction
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, os.dup(4))

        """

    private func outcome(_ app: String, wallTime: Duration = .seconds(30), level: SandboxLevel = .reduced) async throws -> (
        RunVerdict, SandboxOutcome
    ) {
        let fixture = try #require(try await Self.fixture(level))
        let (sandbox, limits) = try await started(Self.taken + app, fixture, wallTime: wallTime)
        _ = await sandbox.idle()
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: wallTime)
        let outcome = try await sandbox.outcome()
        return (fixture.verdict(outcome, limits), outcome)
    }

    /// It waits with less than it needs for its imports, and has its run like any other.
    @Test func aForgedReadyCostsItsAuthorOnly() async throws {
        let app = """
            for _ in range(3): channel.send(b'{"ready":true}')
            total = sum(range(100_000))
            def predict(context): return Prediction(1)
            """
        let (verdict, outcome) = try await outcome(app)
        #expect(verdict.values == ["1"] && outcome.hasBegun, "\(verdict) \(outcome.log.text)")
    }

    @Test func anAnswerBeforeTheStartIsNoAnswer() async throws {
        let row = #"{"rows":[{"instrument":"BTCUSD","value":"1"}]}"#
        let app = """
            os.write(3, b'\(row)')
            def predict(context): return Prediction(1)
            """
        let (verdict, _) = try await outcome(app)
        #expect(verdict.failureKind == .invalidOutput, "\(verdict)")
        let (_, ended) = try await outcome("os.write(3, b'\(row)')\nos._exit(0)\n")
        #expect(!ended.hasBegun)
    }

    @Test func whoTakesTheStartMessageLosesHisRun() async throws {
        let app = """
            import threading
            begun = threading.Event()
            def take():
                begun.set()
                channel.recvmsg(65536, 1000)
            threading.Thread(target=take, daemon=True).start()
            begun.wait()
            def predict(context): return Prediction(1)
            """
        let (verdict, outcome) = try await outcome(app, wallTime: .seconds(2))
        // Whoever of the two was first: it is one run of its own, with one answer at most.
        #expect(verdict.failureKind == .timeLimit || verdict.values == ["1"], "\(verdict) \(outcome.log.text)")
    }

    @Test(arguments: levels) func whatOutlivesItsAnswerIsKilled(_ level: SandboxLevel) async throws {
        guard try await Self.fixture(level) != nil else { return }
        let app = """
            for _ in range(3):
                if os.fork() == 0:
                    os.setsid()
                    while True: signal.pause()
            def predict(context):
                if os.fork() == 0:
                    while True: signal.pause()
                return Prediction(1)
            """
        let (verdict, outcome) = try await outcome(app, wallTime: .seconds(300), level: level)
        #expect(verdict.values == ["1"] && outcome.killer == nil, "\(verdict) \(outcome)")
    }

    /// The executor asks the kernel what it costs that the start message waits until the limits are lifted.
    @Test func theLimitsAreLiftedBeforeTheCodeGoesOn() async throws {
        guard let fixture = try await Self.fixture(.full) else { return }
        var milliseconds: [Double] = []
        for isWaiting in [true, false] {
            let waiting = isWaiting ? WaitingLimits(time: .seconds(120), memoryBytes: 96 << 20, isGentle: true) : WaitingLimits(time: .seconds(120))
            let (sandbox, limits) = try await started(
                "from auspex import Prediction\ndef predict(context): return Prediction(1)\n",
                fixture,
                waiting: waiting
            )
            #expect(await sandbox.idle() != nil)
            let before = ContinuousClock.now
            await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
            let outcome = try await sandbox.outcome()
            milliseconds.append(Double((ContinuousClock.now - before).wholeMicroseconds) / 1000)
            #expect(fixture.verdict(outcome, limits).values == ["1"] && outcome.hasBegun)
        }
        print("from the order to the end of a warm run: \(milliseconds[0]) ms, with nothing to lift: \(milliseconds[1]) ms")
    }

    /// A hundredth of a processor would make dying take seconds: what it may use is given back first.
    @Test func anIdleSandboxDiesWithAWholeProcessor() async throws {
        guard let fixture = try await Self.fixture(.full) else { return }
        let app = """
            import _thread
            def burn():
                while True: pass
            for _ in range(8): _thread.start_new_thread(burn, ())
            room = bytearray(40 << 20)
            def predict(context): pass
            """
        let (sandbox, _) = try await started(app, fixture)
        #expect(await sandbox.idle() != nil)
        let before = ContinuousClock.now
        let outcome = try #require(await sandbox.discard())
        print("an idle sandbox with eight busy threads died within \(ContinuousClock.now - before)")
        #expect(!outcome.hasBegun)
    }

    /// An executor that is killed closes its end of the control pipe, whatever else it could not do.
    @Test(arguments: levels) func aKilledExecutorLeavesNoWarmSandbox(_ level: SandboxLevel) async throws {
        guard let fixture = try await Self.fixture(level) else { return }
        let limits = SandboxLimits.of(.small, wallTime: .seconds(3600))
        let command = fixture.program(try SandboxFixture.folder(Self.app), limits, isAhead: true)
        var host = fixture.sandbox.host
        host.filter = nil
        let launch = LaunchArguments(command: command, host: host, waiting: WaitingLimits(time: .seconds(3600)))
        let name = "\(getpid())-orphan-\(level.rawValue)"
        // A parent that holds our ends as the executor does, says that the program is ready, and is killed.
        let parent = """
            import fcntl, os, signal, socket, sys
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            null, (control, order) = os.open("/dev/null", os.O_RDWR), os.pipe()
            variables = os.memfd_create("variables", 0)
            os.write(variables, bytes.fromhex(sys.argv[2]))
            if os.fork() == 0:
                ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 300) for end in (null, null, null, null, theirs.fileno(), null, control, variables)]
                for place, end in enumerate(ends): os.dup2(end, place, inheritable=True)
                os.closerange(8, 400)
                os.setpgid(0, 0)
                os.execv(sys.argv[3], sys.argv[3:])
            theirs.close()
            ours.send(bytes.fromhex(sys.argv[1]))
            print(ours.recv(100).decode(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """
        let hex = { (bytes: [UInt8]) in bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
        let arguments =
            ["-c", parent, hex(command.preparation ?? []), hex(launch.environment()), fixture.sandbox.host.launcher]
            + launch.list(name: name, slot: 90)
        let ended = try await fixture.cpu.run { try ChildProcess.run(path: "/usr/bin/python3", arguments: arguments) }
        #expect(ended.exitCode == 128 + 9 && ended.output.contains("ready"), "\(ended)")
        try await eventually(timeout: .seconds(60)) { Self.leftovers(fixture, name).isEmpty }
    }

    private static func leftovers(_ fixture: SandboxFixture, _ name: String) -> [String] {
        let groups = fixture.sandbox.host.cgroups.map { folder in folder.value.drop { $0 != "/" } + "/" + name }.filter { access($0, F_OK) == 0 }
        let processes = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).filter { pid in
            guard pid.allSatisfy(\.isNumber), let data = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") else { return false }
            return String(decoding: data, as: UTF8.self).contains("--name\0\(name)\0")
        }
        return groups + processes
    }
}
