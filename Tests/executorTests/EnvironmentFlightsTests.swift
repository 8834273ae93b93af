import Contracts
import Cryptography
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

/// Environments in the making: one flight for each set of requirements, a bound on how many, and a memory of failures.
@Suite struct EnvironmentFlightsTests {
    /// A build that is begun, counted, and let end by the test.
    private final class Builds: Sendable {
        private let state = Mutex((begun: 0, running: 0, most: 0, waiting: [CheckedContinuation<Void, Never>]()))
        var begun: Int { state.withLock { $0.begun } }
        var most: Int { state.withLock { $0.most } }

        func build(_ error: EnvironmentError? = nil) async throws -> PythonEnvironment {
            await withCheckedContinuation { continuation in
                state.withLock { state in
                    state.begun += 1
                    state.running += 1
                    state.most = max(state.most, state.running)
                    state.waiting.append(continuation)
                }
            }
            if let error { throw error }
            let python = PythonInterpreter(series: "3", version: "3", path: "/usr/bin/python3")
            return PythonEnvironment(sha256: SHA256.digest(utf8: "made"), python: python, packages: nil)
        }

        func endOne() {
            let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
                guard !state.waiting.isEmpty else { return nil }
                state.running -= 1
                return state.waiting.removeFirst()
            }
            next?.resume()
        }
    }

    private final class Names: Sendable {
        private let names = Mutex<[String]>([])
        var all: [String] { names.withLock { $0 } }
        func append(_ name: String) { names.withLock { $0.append(name) } }
    }

    private func withFlights(
        width: Int = 1,
        _ body: (EnvironmentFlights, Builds, ManualTimeSource) async throws -> Void
    ) async throws {
        let loop = try EventLoop.start(name: "flights")
        let time = ManualTimeSource()
        try await body(EnvironmentFlights(width: width, loop: loop, time: time), Builds(), time)
        await loop.stop()
    }

    @Test func manyWhoWantOneEnvironmentMakeItOnce() async throws {
        try await withFlights { flights, builds, _ in
            try await withThrowingTaskGroup(of: PythonEnvironment.self) { group in
                for _ in 0..<8 { group.addTask { try await flights.environment("a", within: .seconds(60)) { _ in try await builds.build() } } }
                try await eventually { builds.begun == 1 }
                builds.endOne()
                for try await environment in group { #expect(environment.sha256 == SHA256.digest(utf8: "made")) }
            }
            #expect(builds.begun == 1)
        }
    }

    @Test func onlyAFewAreMadeAtATime() async throws {
        try await withFlights(width: 2) { flights, builds, _ in
            try await withThrowingTaskGroup(of: PythonEnvironment.self) { group in
                for number in 0..<5 {
                    group.addTask { try await flights.environment("\(number)", within: .seconds(60)) { _ in try await builds.build() } }
                }
                for done in 0..<5 {
                    try await eventually { builds.begun >= min(5, done + 2) }
                    builds.endOne()
                }
                for try await _ in group {}
            }
            #expect(builds.begun == 5 && builds.most == 2)
        }
    }

    @Test func aFailureIsAnsweredAtOnceForAWhile() async throws {
        let theirs = EnvironmentError(kind: .exception, reason: "No solution found")
        let ours = EnvironmentError(kind: .infra, reason: "no network")
        try await withFlights(width: 4) { flights, builds, time in
            for (key, error, memory) in [("a", theirs, EnvironmentFlights.memoryOfTheirs), ("b", ours, EnvironmentFlights.memoryOfOurs)] {
                let before = builds.begun
                func ask() async -> EnvironmentError? {
                    do {
                        _ = try await flights.environment(key, within: .seconds(3600)) { _ in try await builds.build(error) }
                        return nil
                    } catch {
                        return error as? EnvironmentError
                    }
                }
                async let first = ask()
                try await eventually { builds.begun == before + 1 }
                builds.endOne()
                #expect(await first?.reason == error.reason)
                #expect(await ask()?.reason == error.reason)
                #expect(builds.begun == before + 1, "remembered")
                time.advance(by: memory + .seconds(1))
                async let again = ask()
                try await eventually { builds.begun == before + 2 }
                builds.endOne()
                _ = await again
            }
        }
    }

    @Test func aRunThatWaitsTooLongFailsWhileTheBuildGoesOn() async throws {
        try await withFlights { flights, builds, time in
            async let late = flights.environment("a", within: .seconds(30)) { _ in try await builds.build() }
            try await eventually { builds.begun == 1 && time.sleeperCount == 1 }
            time.advance(by: .seconds(31))
            do {
                _ = try await late
                Issue.record("it waited on")
            } catch let error as EnvironmentError {
                #expect(error.kind == .timeLimit && error.reason.contains("30 s"), "\(error)")
                #expect(!error.kind.isRetried)
            }
            async let next = flights.environment("a", within: .seconds(30)) { _ in try await builds.build() }
            try await eventually { time.sleeperCount == 1 }
            builds.endOne()
            #expect(try await next.sha256 == SHA256.digest(utf8: "made"))
            #expect(builds.begun == 1, "the same build")
        }
    }

    @Test func aCancelledRunDoesNotEndTheBuild() async throws {
        try await withFlights { flights, builds, time in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await flights.environment("a", within: .seconds(30)) { _ in try await builds.build() } }
                try await eventually { builds.begun == 1 && time.sleeperCount == 1 }
                group.cancelAll()
                await #expect(throws: CancellationError.self) { try await group.next() }
            }
            async let next = flights.environment("a", within: .seconds(30)) { _ in try await builds.build() }
            try await eventually { time.sleeperCount == 1 }
            builds.endOne()
            _ = try await next
            #expect(builds.begun == 1)
        }
    }

    @Test func theTimeInTheQueueIsNotTheAuthors() async throws {
        try await withFlights { flights, builds, time in
            async let first = flights.environment("a", within: .seconds(3600)) { _ in try await builds.build() }
            try await eventually { builds.begun == 1 && time.sleeperCount == 1 }
            func ask() async -> EnvironmentError? {
                do {
                    _ = try await flights.environment("b", within: .seconds(30)) { _ in try await builds.build() }
                    return nil
                } catch { return error as? EnvironmentError }
            }
            async let queued = ask()
            try await eventually { time.sleeperCount == 2 }
            time.advance(by: .seconds(31))
            let error = await queued
            #expect(error?.kind == .infra && error?.kind.isRetried == true, "\(String(describing: error))")

            // The next attempt waits in the same queue; its own time begins with its build.
            async let again = ask()
            try await eventually { time.sleeperCount == 2 }
            time.advance(by: .seconds(20))
            builds.endOne()
            _ = try await first
            try await eventually { builds.begun == 2 && time.sleeperCount == 1 }
            time.advance(by: .seconds(20))
            // 40 s after it came and 20 s after its build began: it waits on.
            try await eventually { time.sleeperCount == 1 }
            time.advance(by: .seconds(11))
            #expect(await again?.kind == .timeLimit)
            builds.endOne()
        }
    }

    @Test func buildingAnewWhatWasLockedBeforeIsNotTheAuthors() async throws {
        try await withFlights { flights, builds, time in
            func ask() async -> EnvironmentError? {
                do {
                    _ = try await flights.environment("a", within: .seconds(30)) { log in
                        log.noteKeptLock()
                        return try await builds.build()
                    }
                    return nil
                } catch { return error as? EnvironmentError }
            }
            async let late = ask()
            try await eventually { builds.begun == 1 && time.sleeperCount == 1 }
            time.advance(by: .seconds(31))
            #expect(await late?.kind == .infra)
            builds.endOne()
        }
    }

    @Test func accountsTakeTurnsAndNoneHasAllBuilds() async throws {
        try await withFlights(width: 2) { flights, builds, time in
            let order = Names()
            try await withThrowingTaskGroup(of: Void.self) { group in
                // With one account alone a place stays free for whoever else comes.
                let asked = [("a1", 1), ("a2", 1), ("a3", 1), ("a4", 1), ("b1", 2), ("b2", 2), ("c1", 2)]
                for (index, (name, begun)) in asked.enumerated() {
                    group.addTask {
                        _ = try await flights.environment(name, account: String(name.prefix(1)), within: .seconds(60)) { _ in
                            order.append(name)
                            return try await builds.build()
                        }
                    }
                    try await eventually { time.sleeperCount == index + 1 && builds.begun == begun }
                    // Who waits for it may be asleep before it stands in line, which it does when what was begun on the loop before this has run.
                    try await flights.loop.run {}
                }
                for begun in [3, 4, 5, 6, 6, 7, 7] {
                    builds.endOne()
                    try await eventually { builds.begun == begun }
                }
                try await group.waitForAll()
            }
            #expect(order.all == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"])
        }
    }
}
