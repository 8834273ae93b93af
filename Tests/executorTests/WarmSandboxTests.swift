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
        waiting: WaitingLimits = WaitingLimits(time: .seconds(120), memoryBytes: 96 << 20, isGentle: true),
        wallTime: Duration = .seconds(3600)
    ) async throws -> (StartedSandbox, SandboxLimits) {
        let limits = SandboxLimits.of(.small, wallTime: wallTime)
        let command = fixture.program(try SandboxFixture.folder(app), limits, isAhead: true)
        return (try await fixture.sandbox.start(command, waiting: waiting), limits)
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
        let (sandbox, _) = try await started("import time\ndef predict(context):\n    time.sleep(100)\n", fixture)
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
        #expect(outcome.killer == .outside && outcome.result == [UInt8(ascii: "\n")], "\(outcome)")
    }

    /// Threads that go on after the imports get a hundredth of a processor, and the whole again with the run.
    @Test func anIdleSandboxHasNoProcessor() async throws {
        guard let fixture = try await Self.fixture(.full) else { return }
        let app = """
            import _thread, time
            from auspex import Prediction
            def burn():
                while True: pass
            _thread.start_new_thread(burn, ())
            def predict(context):
                print(time.process_time())
                return Prediction(1)
            """
        let (sandbox, _) = try await started(app, fixture)
        #expect(await sandbox.idle() != nil)
        try await Task.sleep(for: .seconds(2))
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
        let used = try #require(Double(try await sandbox.outcome().log.text.split(separator: "\n").first ?? ""))
        // Two seconds of a whole processor would be two; the import itself is a part of this.
        #expect(used < 1, "\(used) s of processor time before the run")
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
        #expect(outcome.outOfMemory, "\(outcome)")
        // Without a group of its own each process is bounded by its class, and all are looked at now and then.
        #expect(outcome.memoryPeakBytes < (level == .full ? 96 : 600) << 20)
    }

    @Test func aRunHasTheMemoryOfItsClassAgain() async throws {
        guard let fixture = try await Self.fixture(.full) else { return }
        let app = "from auspex import Prediction\ndef predict(context):\n    room = bytearray(200 << 20)\n    return Prediction(1 if room else 0)\n"
        let (sandbox, limits) = try await started(app, fixture)
        #expect(await sandbox.idle() != nil)
        await sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(30))
        #expect(fixture.verdict(try await sandbox.outcome(), limits).values == ["1"])
    }

    /// An executor that is killed closes its end of the control pipe, whatever else it could not do.
    @Test(arguments: levels) func aKilledExecutorLeavesNoWarmSandbox(_ level: SandboxLevel) async throws {
        guard let fixture = try await Self.fixture(level) else { return }
        let limits = SandboxLimits.of(.small, wallTime: .seconds(3600))
        let command = fixture.program(try SandboxFixture.folder(Self.app), limits, isAhead: true)
        let launch = LaunchArguments(command: command, host: fixture.sandbox.host, waiting: WaitingLimits(time: .seconds(3600)))
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
