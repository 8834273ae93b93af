import Contracts
import Cryptography
import FoundationEssentials
import Glibc
import TestSupport
import Testing

@testable import executor

/// A real executor process that is told to stop while it works.
@Suite(.serialized) struct DrainTests {
    private struct Process {
        let pid: pid_t
        let folder: String

        /// The exit code, once it has ended; nil when it does not within the time.
        func end(within seconds: Int) async throws -> Int32? {
            var status: Int32 = 0
            do { try await TestSupport.eventually(timeout: .seconds(seconds)) { waitpid(pid, &status, WNOHANG) == pid } } catch { return nil }
            return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        }

        var log: String { String(decoding: FileManager.default.contents(atPath: folder + "/log") ?? Data(), as: UTF8.self) }
    }

    private func withExecutor(_ settings: [String: String], _ body: (FakePlatform, Process) async throws -> Void) async throws {
        let folder = SandboxFixture.temporaryFolder
        defer { FileTree.remove(folder) }
        let platform = try await FakePlatform()
        let key = try SigningKey.generate()
        try Data(try key.pem().utf8).write(to: URL(filePath: folder + "/key"))
        try Data(#"{"keys":[]}"#.utf8).write(to: URL(filePath: folder + "/jwks"))
        var environment = [
            "PATH": "/usr/bin:/bin", "AUSPEX_SERVICE_KEY_FILE": folder + "/key", "AUSPEX_SERVICES_JWKS_FILE": folder + "/jwks",
            "AUSPEX_BROKER_URL": "amqp://nobody:nothing@127.0.0.1:1", "AUSPEX_SCHEDULER_URL": platform.url, "AUSPEX_SIGNALS_URL": platform.url,
            "AUSPEX_MARKETDATA_URL": platform.url, "AUSPEX_EXECUTOR_ROOT": folder + "/root", "AUSPEX_SDK_PATH": SandboxFixture.sdkFolder,
            "AUSPEX_CGROUP_NAME": "auspex-drain", "AUSPEX_SANDBOX_USER": "\(410_001 + Int(getpid() % 500) * 128)", "AUSPEX_SLOTS_SIGNAL": "2",
        ]
        environment.merge(settings.mapValues { $0.replacing("FOLDER", with: folder) }) { $1 }
        let log = open(folder + "/log", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0o644)
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        let pid = try ChildProcess.spawn(
            path: SandboxFixture.buildFolder + "/executor",
            arguments: [],
            environment: environment,
            descriptors: [null, log, log]
        )
        close(log)
        close(null)
        let process = Process(pid: pid, folder: folder)
        do {
            try await body(platform, process)
        } catch {
            kill(pid, SIGKILL)
            _ = try await process.end(within: 60)
            await platform.stop()
            throw error
        }
        kill(pid, SIGKILL)
        await platform.stop()
    }

    private func eventually(_ what: String, _ process: Process, _ condition: () -> Bool) async throws {
        do { try await TestSupport.eventually(what, condition) } catch { Issue.record("\(error): \(process.log.suffix(2000))") }
    }

    private static func sleeping(_ seconds: Int) -> [String: String] {
        [
            "app.py":
                "import threading\ndef predict(context):\n    print('begun', flush=True)\n    threading.Event().wait(\(seconds))\n    return None\n"
        ]
    }

    /// Whether a run of this executor is in its sandbox.
    private static func runs(_ process: Process) -> Bool {
        let children = String(
            decoding: FileManager.default.contents(atPath: "/proc/\(process.pid)/task/\(process.pid)/children") ?? Data(),
            as: UTF8.self
        )
        if !children.isEmpty { return true }
        // Children of other threads are listed there.
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/task")) ?? []
        return threads.contains { FileManager.default.contents(atPath: "/proc/\(process.pid)/task/\($0)/children").map { !$0.isEmpty } == true }
    }

    @Test func aTermGivesALongJobBackAndEnds() async throws {
        try await withExecutor(["AUSPEX_DRAIN_SECONDS": "0.5"]) { platform, process in
            let attempt = try platform.enqueue(Self.sleeping(600), timeLimitSeconds: 600)
            try await eventually("the run", process) { platform.read { !$0.barsQueries.isEmpty && $0.waiting.isEmpty } && Self.runs(process) }
            kill(process.pid, SIGTERM)
            #expect(try await process.end(within: 120) == 0, "\(process.log.suffix(2000))")
            #expect(platform.read { $0.released } == [attempt], "given back, which uses up no attempt")
            #expect(platform.read { $0.finished }.isEmpty)
            #expect(try FileManager.default.contentsOfDirectory(atPath: process.folder + "/root").filter { $0.hasPrefix("runner-") }.isEmpty)
        }
    }

    @Test func aTermLetsAShortJobEnd() async throws {
        // It waits in the sandbox for bars that are not to be had yet.
        let app = """
            import auspex
            def predict(context):
                auspex.bars("BTCUSD", "1d", lookback=1)
                return None
            """
        try await withExecutor(["AUSPEX_DRAIN_SECONDS": "60"]) { platform, process in
            platform.change { $0.busyIntervals = ["1d"] }
            let attempt = try platform.enqueue(["app.py": app])
            try await eventually("the run", process) { platform.read { $0.barsQueries.contains { $0["interval"] == "1d" } } }
            kill(process.pid, SIGTERM)
            try await eventually("the stop", process) { process.log.contains("\"stopping\"") }
            let after = try platform.enqueue(Self.sleeping(0))
            platform.change { $0.busyIntervals = [] }
            #expect(try await process.end(within: 120) == 0, "\(process.log.suffix(2000))")
            // A result may be told twice, which is harmless.
            #expect(Set(platform.read { $0.finished.map(\.attemptID) }) == [attempt], "and nothing was begun after it")
            #expect(platform.read { $0.finished.first?.outcome } == .completed && platform.read { $0.released }.isEmpty)
            #expect(platform.read { $0.waiting.map(\.attemptID) } == [after])
        }
    }

    @Test func theNoticeOfPreemptionStopsTheClaimsAndEnds() async throws {
        let settings = ["AUSPEX_PREEMPTION_FILE": "FOLDER/notice", "AUSPEX_PREEMPTION_SECONDS": "0.5", "AUSPEX_DRAIN_SECONDS": "600"]
        try await withExecutor(settings) { platform, process in
            let attempt = try platform.enqueue(Self.sleeping(600), timeLimitSeconds: 600)
            try await eventually("the run", process) { platform.read { !$0.barsQueries.isEmpty && $0.waiting.isEmpty } && Self.runs(process) }
            try Data().write(to: URL(filePath: process.folder + "/notice"))
            #expect(try await process.end(within: 120) == 0, "\(process.log.suffix(2000))")
            #expect(platform.read { $0.released } == [attempt])
        }
    }

    @Test func anOldNoticeKeepsItFromClaimingUntilItIsGone() async throws {
        let folder = SandboxFixture.temporaryFolder
        defer { FileTree.remove(folder) }
        try Data().write(to: URL(filePath: folder + "/notice"))
        try await withExecutor(["AUSPEX_PREEMPTION_FILE": folder + "/notice"]) { platform, process in
            let attempt = try platform.enqueue(Self.sleeping(0))
            try await eventually("the warning", process) {
                process.log.contains("nothing is claimed until the notice is gone") && process.log.contains("\"started\"")
            }
            #expect(platform.read { $0.claims }.isEmpty)
            unlink(folder + "/notice")
            try await eventually("the run", process) { platform.read { $0.finished.map(\.attemptID) } == [attempt] }
            kill(process.pid, SIGTERM)
            #expect(try await process.end(within: 120) == 0)
        }
    }
}
