import Contracts
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// How often the log of a job is read for those who listen to it.
struct LogReadsTests {
    private static let job = JobID.make()
    private static let place = LogPlace(attemptID: .make(), offset: 7)

    /// Readings that are counted, and that a gate can hold up.
    private final class Readings: Sendable {
        let count = Mutex<[LogPlace?: Int]>([:])
        let gate = Gate()
        let isFailing = Mutex(false)

        func read(_ place: LogPlace?) async throws -> LogReads.Reading {
            count.withLock { $0[place, default: 0] += 1 }
            try await gate.pass()
            if isFailing.withLock({ $0 }) { throw CancellationError() }
            return LogReads.Reading(job: nil, isTruncated: true)
        }

        func reads() -> LogReads { LogReads(loop: TestLoop.shared) { _, place in try await self.read(place) } }
        func count(of place: LogPlace?) -> Int { count.withLock { $0[place] ?? 0 } }
    }

    @Test func whoHasComeToTheSamePlaceReadsOnceWithAllOthers() async throws {
        let readings = Readings()
        let reads = readings.reads()
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 { group.addTask { try await reads.reading(of: Self.job, after: Self.place).isTruncated } }
            _ = try await readings.gate.entered.next()
            readings.gate.open()
            var count = 0
            for try await isRead in group where isRead { count += 1 }
            #expect(count == 20)
        }
        // Also who comes when it has been read; at another place, and of another job, it is another question.
        _ = try await reads.reading(of: Self.job, after: Self.place)
        #expect(readings.count(of: Self.place) == 1)
        _ = try await reads.reading(of: Self.job, after: nil)
        _ = try await reads.reading(of: .make(), after: nil)
        #expect(readings.count(of: nil) == 2)
    }

    @Test func newsAreReadAnew() async throws {
        let readings = Readings()
        readings.gate.open()
        let reads = readings.reads()
        _ = try await reads.reading(of: Self.job, after: nil)
        reads.forget([.make()])
        _ = try await reads.reading(of: Self.job, after: nil)
        #expect(readings.count(of: nil) == 1)
        reads.forget([Self.job])
        _ = try await reads.reading(of: Self.job, after: nil)
        #expect(readings.count(of: nil) == 2)
    }

    @Test func newsDuringAReadingAreReadAfterIt() async throws {
        let readings = Readings()
        let reads = readings.reads()
        async let before = reads.reading(of: Self.job, after: nil)
        _ = try await readings.gate.entered.next()
        // What is being read may not hold what the news is of.
        reads.forget([Self.job])
        async let after = reads.reading(of: Self.job, after: nil)
        _ = try await readings.gate.entered.next()
        readings.gate.open()
        _ = try await (before, after)
        #expect(readings.count(of: nil) == 2)
    }

    @Test func whatWentWrongIsNotKept() async throws {
        let readings = Readings()
        readings.gate.open()
        readings.isFailing.withLock { $0 = true }
        let reads = readings.reads()
        await #expect(throws: CancellationError.self) { try await reads.reading(of: Self.job, after: nil) }
        readings.isFailing.withLock { $0 = false }
        #expect(try await reads.reading(of: Self.job, after: nil).isTruncated)
    }
}
