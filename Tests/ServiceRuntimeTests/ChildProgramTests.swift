import Foundation
import Glibc
import ServiceRuntime
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct ChildProgramTests {
    private func start(_ words: [String], environment: [String: String] = ["PATH": "/usr/bin:/bin"]) async throws -> ChildProgram {
        try await ChildProgram.start(words, environment: environment, on: TestLoop.shared)
    }

    @Test func itsEndIsAnEvent() async throws {
        #expect(try await start(["sh", "-c", "exit 7"]).waitForExit() == .code(7))
        #expect(try await start(["sh", "-c", "kill -9 $$"]).waitForExit() == .signal(9))
        let child = try await start(["sleep", "1000"])
        #expect(child.exit == nil)
        child.signal(SIGTERM)
        #expect(await child.waitForExit() == .signal(SIGTERM))
        // Who comes late is told as well.
        #expect(await child.waitForExit() == .signal(SIGTERM))
        #expect(child.exit == .signal(SIGTERM))
        #expect("\(ChildProgram.Exit.code(1)), \(ChildProgram.Exit.signal(9))" == "exit code 1, signal 9")
    }

    @Test func aStoppedOneCanBeEnded() async throws {
        let child = try await start(["sleep", "1000"])
        child.signal(SIGSTOP)
        child.signal(SIGKILL)
        #expect(await child.waitForExit() == .signal(SIGKILL))
    }

    @Test func whatIsNotThereIsNotStarted() async throws {
        await #expect(throws: RuntimeError.self) { try await start(["/no/such/program"]) }
        await #expect(throws: RuntimeError.self) { try await start([]) }
    }

    @Test func itSeesOnlyWhatItIsGiven() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "child-\(UUID().uuidString)").path()
        defer { try? FileManager.default.removeItem(atPath: file) }
        let script = "env > \(file); cat >> \(file); echo end >> \(file); trap >> \(file)"
        #expect(try await start(["sh", "-c", script], environment: ["PATH": "/usr/bin:/bin", "GIVEN": "1"]).waitForExit() == .code(0))
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map(String.init)
        #expect(lines.contains("GIVEN=1"))
        #expect(lines.contains("end"))
        #expect(!lines.contains { $0.hasPrefix("HOME=") || $0.hasPrefix("AUSPEX_") })
    }

    @Test func itsWholeGroupGoesWithIt() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "child-\(UUID().uuidString)").path()
        defer { try? FileManager.default.removeItem(atPath: file) }
        // The leader ends well and leaves another behind.
        let child = try await start(["sh", "-c", "sleep 1000 & echo $! > \(file)"])
        #expect(await child.waitForExit() == .code(0))
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let left = try #require(Int32(text.split(separator: "\n").first ?? ""))
        #expect(kill(left, 0) == 0)
        child.signal(SIGKILL)
        try await eventually("the other is gone") {
            let state = try? String(contentsOfFile: "/proc/\(left)/stat", encoding: .utf8)
            return state?.contains(") Z") ?? true
        }
    }
}
