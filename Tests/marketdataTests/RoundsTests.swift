import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

@Suite struct RoundsTests {
    /// Counts how often it was asked, each time at a gate.
    private final class Question: Sendable {
        let gate = Gate()
        let asked = Mutex(0)

        func ask() async throws -> Int {
            let number = asked.withLock { asked in
                asked += 1
                return asked
            }
            try await gate.pass()
            return number
        }
    }

    @Test func whoComesMeanwhileWaitsForTheNextRoundTogether() async throws {
        let (rounds, question) = (Rounds<Int, Int>(), Question())
        async let first = rounds.value(for: 1) { try await question.ask() }
        try await eventually { question.asked.withLock { $0 } == 1 }
        let others = (0..<9).map { _ in Task { try await rounds.value(for: 1) { try await question.ask() } } }
        try await eventually { rounds.waiters == 9 }
        question.gate.open()
        #expect(try await first == 1)
        for other in others { #expect(try await other.value == 2) }
        #expect(rounds.underWay == 0)
        #expect(try await rounds.value(for: 1) { try await question.ask() } == 3)
    }

    @Test func aFailureIsTheRoundsAndTheNextOneAsksAgain() async throws {
        struct Refusal: Error {}
        let (rounds, question) = (Rounds<Int, Int>(), Question())
        let first = Task { () async throws -> Int in
            try await rounds.value(for: 1) {
                _ = try await question.ask()
                throw Refusal()
            }
        }
        try await eventually { question.asked.withLock { $0 } == 1 }
        let second = Task { try await rounds.value(for: 1) { try await question.ask() } }
        try await eventually { rounds.waiters == 1 }
        question.gate.open()
        await #expect(throws: Refusal.self) { try await first.value }
        #expect(try await second.value == 2)
    }

    @Test func whoGoesAwayGivesUpForHimselfOnly() async throws {
        let (rounds, question) = (Rounds<Int, Int>(), Question())
        let first = Task { try await rounds.value(for: 1) { try await question.ask() } }
        try await eventually { question.asked.withLock { $0 } == 1 }
        let others = (0..<3).map { _ in Task { try await rounds.value(for: 1) { try await question.ask() } } }
        try await eventually { rounds.waiters == 3 }
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        try await eventually { question.asked.withLock { $0 } == 2 }
        // Whoever asks for the others now goes away as well.
        for other in others.prefix(1) { other.cancel() }
        question.gate.open()
        for other in others.dropFirst() { #expect(try await other.value >= 2) }
        #expect(rounds.underWay == 0)
    }
}
