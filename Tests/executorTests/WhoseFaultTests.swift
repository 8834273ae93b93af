import Contracts
import JobWorker
import ServiceRuntime
import TestSupport
import Testing

@testable import executor

/// Whose fault a failed run is, each by a real sandbox: the kind that decides whether it is tried again, and words that an author understands.
@Suite(.serialized) struct WhoseFaultTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let code: String
        let kind: FailureKind
        let words: [String]
        var seconds = 60
        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(
            name: "an exception, with the author's own frames",
            code: """
                import helper
                def predict(context):
                    return helper.scale(context.bars().close, 0)
                """,
            kind: .exception,
            words: ["ZeroDivisionError: ", "File \"/app/app.py\", line 3, in predict", "File \"/app/helper.py\", line 2, in scale"]
        ),
        Case(
            name: "an exception at import",
            code: "raise ImportError('no model')\n",
            kind: .exception,
            words: ["ImportError: no model", "/app/app.py"]
        ),
        Case(
            name: "code that is no Python",
            code: "def predict(context):\n    retrun 1\n",
            kind: .exception,
            words: ["SyntaxError", "/app/app.py", "line 2"]
        ),
        Case(name: "a missing function", code: "def other(context): pass\n", kind: .exception, words: ["app.py has no function 'predict'"]),
        Case(
            name: "an exit",
            code: "import sys\ndef predict(context):\n    sys.exit(3)\n",
            kind: .exception,
            words: ["exit(3)", "instead of returning"]
        ),
        Case(
            name: "an end by force",
            code: "import os\ndef predict(context):\n    os._exit(3)\n",
            kind: .exception,
            words: ["ended the process with exit code 3 before it returned"]
        ),
        Case(
            name: "a crash",
            code: "import ctypes\ndef predict(context):\n    ctypes.string_at(0)\n",
            kind: .exception,
            words: ["ended by signal 11 (SIGSEGV)"]
        ),
        Case(
            name: "a recursion without end",
            code: "def predict(context):\n    return predict(context)\n",
            kind: .exception,
            words: ["RecursionError"]
        ),
        Case(
            name: "a wrong row",
            code: "from auspex import Prediction\ndef predict(context):\n    return [Prediction(1), Prediction(7)]\n",
            kind: .invalidOutput,
            words: ["row 1: value is 7, but a direction is -1, 0 or 1"]
        ),
        Case(
            name: "too many rows",
            code: "from auspex import Prediction\ndef predict(context):\n    return [Prediction(1)] * 99\n",
            kind: .invalidOutput,
            words: ["more rows than the manifest's maximum_rows"]
        ),
        Case(
            name: "no prediction at all",
            code: "def predict(context):\n    return 'up'\n",
            kind: .invalidOutput,
            words: ["the function returned str", "must return a Prediction"]
        ),
        Case(
            name: "an answer of its own making",
            code: "import os\ndef predict(context):\n    os.write(3, b'{\"rows\": ')\n    os._exit(0)\n",
            kind: .invalidOutput,
            words: ["not one JSON document"]
        ),
        Case(
            name: "more memory than there is",
            code: "def predict(context):\n    kept = []\n    while True: kept.append(bytearray(32 << 20))\n",
            kind: .outOfMemory,
            words: ["memory"]
        ),
        Case(
            name: "a loop without end",
            code: "def predict(context):\n    while True: pass\n",
            kind: .timeLimit,
            words: ["the run took longer than 2 s"],
            seconds: 2
        ),
        Case(
            name: "a sleep at import",
            code: "import signal\nsignal.pause()\n",
            kind: .timeLimit,
            words: ["the run took longer than 1 s"],
            seconds: 1
        ),
        Case(
            name: "a flood",
            code: "import os\ndef predict(context):\n    while True: os.write(1, b'x' * 65536)\n",
            kind: .policy,
            words: ["printed more than", "MiB"]
        ),
    ]

    @Test(arguments: cases)
    func isToldByItsKindAndInWords(_ one: Case) async throws {
        let tests = SignalRunHandlerTests()
        try await tests.withExecutor { platform in
            let files = ["app.py": one.code, "helper.py": "def scale(values, by):\n    return values[-1] / by\n"]
            let attempt = try platform.enqueue(files, timeLimitSeconds: one.seconds)
            let finished = try await tests.finished(platform, attempt)
            let message = finished.errorMessage ?? ""
            #expect(finished.outcome == .failed && finished.failureKind == one.kind, "\(finished.failureKind.map { "\($0)" } ?? "-"): \(message)")
            for words in one.words { #expect(message.contains(words), "\(message)") }
            #expect(finished.failureKind?.isRetried == false, "the code's fault is not tried again")
            // What an author sees shows his own files, and nothing of the machine or of our own code.
            for foreign in ["auspex-executor", "/tmp/", "/work/", "_runner.py", "/sdk/"] {
                #expect(!message.contains(foreign), "\(message)")
            }
            #expect(finished.result == nil, "nothing of the run is recorded")
        }
    }

    @Test func whatIsOursIsTriedAgain() async throws {
        let tests = SignalRunHandlerTests()
        try await tests.withExecutor { platform in
            let attempt = try platform.enqueue(["app.py": "# lost\ndef predict(context): return None\n"], storesFiles: false)
            let finished = try await tests.finished(platform, attempt)
            #expect(finished.failureKind == .infra && finished.failureKind?.isRetried == true, "\(finished)")
        }
        struct Strange: Error {}
        let job = try ClaimedJob.sampleOfKind("toy")
        let result = SandboxedFailure.result(of: Strange(), job)
        #expect(result.failureKind == .infra && result.errorMessage?.contains("Strange") == false)
    }

    @Test func whatARunPrintsIsHeardWhileItPrints() async throws {
        let tests = SignalRunHandlerTests()
        let app = """
            import time, signal
            def predict(context):
                print("größer", flush=True)
                signal.pause()
            """
        try await tests.withExecutor { platform in
            let attempt = try platform.enqueue(["app.py": app], timeLimitSeconds: 60)
            let chunk = try await eventuallyValue(timeout: .seconds(60)) {
                platform.read { $0.renewals.first { $0.attemptID == attempt && $0.log != nil }?.log }
            }
            #expect(chunk == LogChunk(offset: 0, text: "größer\n"))
            platform.change { $0.cancelled.insert(attempt) }
            let finished = try await tests.finished(platform, attempt)
            #expect(finished.outcome == .failed)
        }
    }

    /// A new kind of jobs in the sandbox, whole: what it needs and what its answer means.
    private struct ToyHandler: SandboxedHandler {
        struct Spec: Decodable, Sendable { var numbers: [Int] }
        let kinds = ["toy"]
        let sandbox: Sandbox
        let python: String

        func refusal(of spec: Spec) -> String? { spec.numbers.isEmpty ? "there is nothing to add" : nil }

        func prepare(_ job: ClaimedJob, _ spec: Spec, _ reporter: JobReporter) async throws -> (SandboxCommand, Void) {
            let sum = "import os; print('adding'); os.write(3, str(sum(\(spec.numbers))).encode())"
            return (SandboxCommand(arguments: [python, "-ISB", "-c", sum], limits: .of(.small, wallTime: .seconds(30))), ())
        }

        func result(of outcome: SandboxOutcome, _: ClaimedJob, _: Spec, _: Void, _: JobReporter) async throws -> JobResult {
            guard outcome.exitCode == 0, let sum = Int64(String(decoding: outcome.result, as: UTF8.self)) else {
                return .failed(.exception, "it cannot add (exit code \(outcome.exitCode))")
            }
            return .completed(["sum": .integer(sum)])
        }
    }

    @Test func aNewKindIsOneSmallType() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let python = try #require(try await PythonInterpreter.discover(in: fixture.sandbox).first)
        let handler = ToyHandler(sandbox: fixture.sandbox, python: python.path)
        var job = try ClaimedJob.sampleOfKind("toy")
        job.spec = ["numbers": [1, 2, 3]]
        let result = await handler.run(job, reporter: .silent)
        #expect(result.outcome == .completed && result.result == ["sum": 6], "\(result)")
        #expect(result.log == "adding\n" && result.cpuSeconds > 0 && result.memoryPeakBytes > 0)
        job.spec = ["numbers": []]
        #expect(await handler.run(job, reporter: .silent).errorMessage == "there is nothing to add")
        job.spec = ["letters": []]
        #expect(await handler.run(job, reporter: .silent).failureKind == .policy)
    }
}

extension ClaimedJob {
    static func sampleOfKind(_ kind: String) throws -> ClaimedJob {
        ClaimedJob(
            jobID: .make(),
            attemptID: .make(),
            attempt: 1,
            kind: JobKind(kind),
            resourceClass: .small,
            accountID: .make(),
            priority: .normal,
            spec: .object([:]),
            leaseSeconds: 30,
            timeLimitSeconds: 30,
            jobToken: "token",
            enqueuedAt: .now()
        )
    }
}
