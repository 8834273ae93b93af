import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import TestSupport
import Testing

@testable import executor

/// What an author's code may count on inside, and what comes out.
@Suite struct SandboxRunTests {
    private static let rising = """
        from auspex import signal, Prediction
        @signal
        def predict(context):
            bars = context.bars("BTCUSD")
            print("bars", len(bars), context.as_of.isoformat(), context.parameters["window"])
            return Prediction(1 if bars.close[-1] > bars.close[-2] else -1)
        """

    @Test func aPlainSignalGivesItsRow() async throws {
        let (verdict, outcome) = try await SandboxFixture.shared.get().run(Self.rising)
        guard case .rows(let rows, let stages) = verdict else {
            Issue.record("\(verdict) \(outcome.log.text)")
            return
        }
        let asOf = SandboxFixture.asOf
        let row = PredictionRow(
            row: 0,
            instrument: "BTCUSD",
            kind: .direction,
            value: .single(DecimalText(units: 1)),
            targetFrom: asOf,
            targetTo: asOf + .seconds(60)
        )
        #expect(rows == [row])
        #expect(stages.keys.sorted() == ["import", "predict"])
        #expect(outcome.log.text == "bars 200 2016-10-08T12:01:00+00:00 3\n")
        #expect(outcome.cpuSeconds > 0 && outcome.cpuSeconds < 5)
        #expect(outcome.memoryPeakBytes > 1 << 20)
    }

    /// The compiler's warnings are made by Python of the standard library, if that is there already: none of it is the author's.
    @Test func whatTheCompilerWarnsOfIsInTheLogWithItsFile() async throws {
        let app = """
            import warnings, weakref
            import part
            from auspex import Prediction
            def predict(context):
                return Prediction(1 if part.same() else -1)
            """
        let part = "NUMBER = 7\n\n\ndef same(): return NUMBER is 7\n"
        let (verdict, outcome) = try await SandboxFixture.shared.get().run(app, files: ["part.py": part])
        #expect(verdict.values == ["1"], "\(verdict)")
        #expect(outcome.log.text.contains("/app/part.py:4: SyntaxWarning: "), "\(outcome.log.text)")
    }

    @Test func bundledFilesAreRead() async throws {
        let app = """
            import json
            from auspex import Prediction
            def predict(context):
                model = json.load(open(context.path("model.json")))
                try:
                    context.path("../etc/passwd")
                except ValueError:
                    return Prediction(model["direction"])
            """
        let (verdict, _) = try await SandboxFixture.shared.get().run(app, files: ["model.json": #"{"direction": -1}"#])
        #expect(verdict.values == ["-1"])
    }

    @Test func aRunGivesWayToTheServices() async throws {
        let app = """
            import os
            def predict(context):
                print(os.getpriority(os.PRIO_PROCESS, 0))
                try:
                    os.nice(-1)
                except PermissionError:
                    print("stays so")
            """
        let (_, outcome) = try await SandboxFixture.shared.get().run(app)
        #expect(outcome.log.text == "\(max(5, getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)))\nstays so\n")
    }

    /// A process that is started anew finds the SDK by the path that it is handed.
    @Test func processesOfTheAuthorsFindTheSDK() async throws {
        let app = """
            import multiprocessing
            from auspex import Prediction
            def one(number):
                return Prediction(number + 1).value
            def predict(context):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    return Prediction(pool.map(one, [0])[0])
            """
        let (verdict, _) = try await SandboxFixture.shared.get().run(app)
        #expect(verdict.values == ["1"], "\(verdict)")
    }

    @Test func noPredictionIsAnAnswer() async throws {
        let (verdict, _) = try await SandboxFixture.shared.get().run("def predict(context):\n    return None\n")
        guard case .rows(let rows, _) = verdict else { return #expect(Bool(false), "\(verdict)") }
        #expect(rows.isEmpty)
    }

    @Test func anExceptionBringsItsTraceback() async throws {
        let app = "def helper(x):\n    return x / 0\n\ndef predict(context):\n    return helper(1)\n"
        let (verdict, outcome) = try await SandboxFixture.shared.get().run(app)
        #expect(verdict.failureKind == .exception)
        #expect(verdict.message.hasPrefix("ZeroDivisionError: division by zero"))
        #expect(verdict.message.contains("/app/app.py\", line 2, in helper"))
        #expect(!verdict.message.contains("_runner.py"))
        #expect(outcome.log.text.contains("ZeroDivisionError"))
    }

    @Test(arguments: [
        ("def predict(context):\n    raise SystemExit(3)\n", FailureKind.exception, "exit(3)"),
        ("import os\ndef predict(context):\n    os._exit(7)\n", .exception, "exit code 7"),
        ("import os, signal\ndef predict(context):\n    os.kill(os.getpid(), signal.SIGSEGV)\n", .exception, "SIGSEGV"),
        ("def other(context):\n    pass\n", .exception, "no function 'predict'"),
        ("def predict(context:\n", .exception, "SyntaxError"),
        ("import nosuchmodule\n", .exception, "ModuleNotFoundError"),
        ("def predict(context):\n    return 7\n", .invalidOutput, "must return a Prediction"),
        ("from auspex import Prediction\ndef predict(context):\n    return [Prediction(1), Prediction(2)]\n", .invalidOutput, "row 1: value is 2"),
        ("from auspex import Prediction\ndef predict(context):\n    return [Prediction(1)] * 3\n", .invalidOutput, "maximum_rows"),
        ("from auspex import Prediction\ndef predict(context):\n    return Prediction(float('nan'))\n", .invalidOutput, "row 0: value is nan"),
        ("import os\nos.write(3, b'{\"rows\": 5}')\nos._exit(0)\n", .invalidOutput, "no rows"),
        ("import os\nos.write(3, b'\\xff\\xfe nonsense')\nos._exit(0)\n", .invalidOutput, "not one JSON document"),
    ])
    func failuresAreNamed(app: String, kind: FailureKind, words: String) async throws {
        let (verdict, outcome) = try await SandboxFixture.shared.get().run(app)
        #expect(verdict.failureKind == kind, "\(verdict) \(outcome.log.text)")
        #expect(verdict.message.contains(words), "\(verdict)")
    }

    @Test func rowsForgedPastTheRunnerAreCheckedAgain() async throws {
        let app = """
            import os
            os.write(3, b'{"rows": [{"row": 0, "instrument": "ETHUSD", "kind": "direction", "value": "1", "target_from": "2016-10-08T12:01:00.000000Z", "target_to": "2016-10-08T12:02:00.000000Z"}]}')
            os._exit(0)
            """
        let (verdict, _) = try await SandboxFixture.shared.get().run(app)
        #expect(verdict.failureKind == .invalidOutput)
        #expect(verdict.message == "row 0: instrument is 'ETHUSD', but the manifest promises 'BTCUSD'")
    }

    @Test func quantilesKeepTheirDigits() async throws {
        let app = """
            from decimal import Decimal
            from auspex import Prediction
            def predict(context):
                return Prediction({"0.90": "620.10", 0.1: 610, 0.5: Decimal("616.53")})
            """
        let output = ManifestOutput(kind: .quantiles, instrument: "BTCUSD", horizonSeconds: 60)
        let (verdict, _) = try await SandboxFixture.shared.get().run(app, output: output)
        guard case .rows(let rows, _) = verdict, case .quantiles(let levels)? = rows.first?.value else {
            Issue.record("\(verdict)")
            return
        }
        #expect(levels.mapValues(\.text) == ["0.1": "610", "0.5": "616.53", "0.9": "620.1"])
    }

    @Test func whatIsPrintedIsCappedWithAMarker() async throws {
        let app = "def predict(context):\n    print('begin')\n    for i in range(20000): print('x' * 9)\n    print('end')\n"
        let (verdict, outcome) = try await SandboxFixture.shared.get().run(app)
        guard case .rows = verdict else { return #expect(Bool(false), "\(verdict)") }
        let log = outcome.log.text
        #expect(outcome.log.isTruncated)
        #expect(log.utf8.count <= 65536 && log.utf8.count > 60000)
        #expect(log.hasPrefix("begin\n") && log.hasSuffix("end\n") && log.contains("bytes left out"))
    }

    @Test func cancellingAsksTheProgramToEndFirst() async throws {
        let app = """
            import os, signal, time
            def stop(number, frame):
                os.write(1, b"asked to stop\\n")
                os._exit(0)
            signal.signal(signal.SIGTERM, stop)
            def predict(context):
                time.sleep(250)
            """
        let fixture = try await SandboxFixture.shared.get()
        let running = Task(on: fixture.loops.control) { try await fixture.run(app) { $0.wallTime = .seconds(300) } }
        try await Self.handlerOfTermination()
        running.cancel()
        let (_, outcome) = try await running.value
        #expect(outcome.log.text == "asked to stop\n")
        #expect(outcome.wallTime < .seconds(200))
    }

    /// Returns once a process in a namespace of its own handles SIGTERM.
    private static func handlerOfTermination() async throws {
        try await eventually("a program in a sandbox that handles SIGTERM") {
            try FileManager.default.contentsOfDirectory(atPath: "/proc").contains { pid in
                guard pid.allSatisfy(\.isNumber), let status = FileManager.default.contents(atPath: "/proc/\(pid)/status") else { return false }
                let lines = String(decoding: status, as: UTF8.self).split(separator: "\n")
                guard let namespace = lines.first(where: { $0.hasPrefix("NSpid:") }), namespace.split(separator: "\t").count > 2,
                    let caught = lines.first(where: { $0.hasPrefix("SigCgt:") })?.split(separator: "\t").last, let mask = UInt64(caught, radix: 16)
                else { return false }
                return mask & (1 << 14) != 0 && lines.contains("Name:\tpython3")
            }
        }
    }

    @Test func coldRunsOneAfterTheOther() async throws {
        let fixture = try await SandboxFixture.shared.get()
        var times: [Duration] = []
        for _ in 0..<15 {
            let started = ContinuousClock.now
            let verdict = try await fixture.run(Self.rising).verdict
            #expect(verdict.failureKind == nil, "\(verdict)")
            times.append(started.duration(to: .now))
        }
        times.sort()
        print("cold plain run: least \(times[0]), median \(times[7])")
    }
}
