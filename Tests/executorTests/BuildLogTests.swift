import Contracts
import FoundationEssentials
import JobWorker
import Synchronization
import TestSupport
import Testing

@testable import executor

/// What the build of a run's packages says is in the run's log while it is said, and the log that is stored is the same stream.
@Suite(.serialized) struct BuildLogTests {
    private static let app = """
        import alpha
        from auspex import Prediction
        def predict(context):
            print("größer")
            return Prediction(1)
        """

    @Test func theBuildIsHeardWhileItIsMadeAndStoredInFrontOfTheRun() async throws {
        guard let uv = EnvironmentStoreTests.installer() else { return print("skipped: no uv on this machine, environments were not built") }
        let tests = SignalRunHandlerTests()
        let index = try await FakeIndex()
        try index.publish("alpha", "1.0")
        try await tests.withExecutor(uv: uv, index: index.index) { platform in
            // Resolving reads what it needs of the file; installing finds the gate closed.
            let gate = TestSignal<Void>()
            index.hold(gate)
            let files = ["app.py": Self.app, "requirements.txt": "alpha\n"]
            let attempt = try platform.enqueue(files, timeLimitSeconds: 120)
            func heard() -> String {
                platform.read { state in
                    var text = ""
                    for chunk in state.renewals.filter({ $0.attemptID == attempt }).compactMap(\.log) where Int(chunk.offset) == text.utf8.count {
                        text += chunk.text
                    }
                    return text
                }
            }
            // It stands in front of a download, and the author reads how far it has come.
            for _ in 0..<32 {
                try await index.asked.next(timeout: .seconds(60))
                // A lock is kept between resolving and installing.
                if platform.read({ !$0.locks.isEmpty }) { break }
                gate.signal()
            }
            try await eventually(timeout: .seconds(60)) { heard().contains("Resolved 1 package") }
            #expect(platform.read { $0.finished.isEmpty })
            index.hold(nil)
            for _ in 0..<32 { gate.signal() }
            let finished = try await tests.finished(platform, attempt)
            let log = finished.log ?? ""
            #expect(finished.outcome == .completed, "\(finished)")
            #expect(log.contains("alpha==1.0") && log.hasSuffix("größer\n") && !finished.logTruncated, "\(log)")
            #expect(log.hasPrefix(heard()), "\(heard())")

            // The next one finds its environment and has no build log.
            let second = try platform.enqueue(files, timeLimitSeconds: 120)
            #expect(try await tests.finished(platform, second).log == "größer\n")
        }
        await index.stop()
    }

    @Test func aBuildThatFailsIsInTheLogAlsoFromMemory() async throws {
        guard let uv = EnvironmentStoreTests.installer() else { return print("skipped: no uv on this machine, environments were not built") }
        let tests = SignalRunHandlerTests()
        let index = try await FakeIndex()
        try await tests.withExecutor(uv: uv, index: index.index) { platform in
            for _ in 0..<2 {
                let attempt = try platform.enqueue(["app.py": Self.app, "requirements.txt": "nowhere\n"], timeLimitSeconds: 120)
                let finished = try await tests.finished(platform, attempt)
                #expect(finished.failureKind == .exception && finished.log?.contains("nowhere") == true, "\(finished)")
            }
        }
        await index.stop()
    }

    @Test func whatIsCutSaysSo() {
        let told = Mutex("")
        let log = RunLog(JobReporter(log: { text in told.withLock { $0 += text } }))
        let build = String(repeating: "+ package==1.0\n", count: 4000)
        log.built(build, isCut: false)
        log.printed(String(repeating: "printed\n", count: 2000))
        let result = log.noted(in: .completed())
        let whole = told.withLock { $0 }
        #expect(whole.utf8.count == build.utf8.count + 16_000)
        #expect(result.logTruncated && result.log!.utf8.count <= FinishedJob.maximumLogBytes)
        // The first part, a marker with the true number of bytes, and the end of the same stream.
        let parts = result.log!.split(separator: "\n[… ")
        #expect(parts.count == 2 && whole.hasPrefix(parts[0]) && parts[0].utf8.count == LogChunk.headBytes)
        let tail = parts[1].split(separator: " bytes left out …]\n", maxSplits: 1)
        #expect(tail.count == 2 && whole.hasSuffix(tail[1]))
        #expect(Int(tail[0]) == whole.utf8.count - parts[0].utf8.count - tail[1].utf8.count)
        // A log that was cut before it was heard is cut, however short it is.
        let late = RunLog(.silent)
        late.built("end of a build\n", isCut: true)
        #expect(late.noted(in: .completed()).logTruncated)
    }
}
