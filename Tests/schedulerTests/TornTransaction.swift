import Contracts
import Messaging
import Schedules
import Synchronization

@testable import scheduler

/// A transaction whose process dies before a certain statement: nothing of it is kept.
struct TornTransaction: SchedulerTransaction {
    struct Death: Error {}

    /// How many statements are still carried out.
    final class Life: Sendable {
        private let rest: Mutex<Int>
        init(statements: Int) { rest = Mutex(statements) }

        func spend() throws {
            try rest.withLock { rest in
                guard rest > 0 else { throw Death() }
                rest -= 1
            }
        }
    }

    let inner: any SchedulerTransaction
    let life: Life

    func lockedSchedule(of signal: SignalID) async throws -> Schedule? {
        try life.spend()
        return try await inner.lockedSchedule(of: signal)
    }

    func lockedSchedule(_ id: ScheduleID) async throws -> Schedule? {
        try life.spend()
        return try await inner.lockedSchedule(id)
    }

    func setFailures(_ count: Int, of schedule: ScheduleID) async throws {
        try life.spend()
        try await inner.setFailures(count, of: schedule)
    }

    func moment() async throws -> Timestamp {
        try life.spend()
        return try await inner.moment()
    }

    func lockedDueSchedules(at now: Timestamp, besides resting: [RestingSchedule], limit: Int) async throws -> [Schedule] {
        try life.spend()
        return try await inner.lockedDueSchedules(at: now, besides: resting, limit: limit)
    }

    func lockedSchedules(waitingFor bars: [WatchedBar]) async throws -> [Schedule] {
        try life.spend()
        return try await inner.lockedSchedules(waitingFor: bars)
    }

    func save(_ schedule: Schedule) async throws {
        try life.spend()
        try await inner.save(schedule)
    }

    func advance(_ schedules: [Schedule], taking counts: [SignalID: Int]) async throws -> [SignalID: Int64] {
        try life.spend()
        return try await inner.advance(schedules, taking: counts)
    }

    func begin(_ era: ScheduleEra) async throws {
        try life.spend()
        try await inner.begin(era)
    }

    func endEra(of schedule: ScheduleID, at time: Timestamp) async throws {
        try life.spend()
        try await inner.endEra(of: schedule, at: time)
    }

    func openRuns(among schedules: [ScheduleID], locked: Bool) async throws -> [OpenRun] {
        try life.spend()
        return try await inner.openRuns(among: schedules, locked: locked)
    }

    func cancelRuns(_ jobs: [JobID]) async throws {
        try life.spend()
        try await inner.cancelRuns(jobs)
    }

    func endRuns(_ jobs: [JobID]) async throws {
        try life.spend()
        try await inner.endRuns(jobs)
    }

    func sessions(of markets: Set<String>) async throws -> [String: MarketSessions] {
        try life.spend()
        return try await inner.sessions(of: markets)
    }

    func heldSessions(of markets: Set<String>) async throws -> [String: MarketSessions] {
        try life.spend()
        return try await inner.heldSessions(of: markets)
    }

    func lockedMarket(_ market: String) async throws -> KnownMarket {
        try life.spend()
        return try await inner.lockedMarket(market)
    }

    func save(_ sessions: MarketSessions, of market: String, at time: Timestamp, isRearming: Bool) async throws {
        try life.spend()
        try await inner.save(sessions, of: market, at: time, isRearming: isRearming)
    }

    func finishRearming(_ market: String, since time: Timestamp) async throws {
        try life.spend()
        try await inner.finishRearming(market, since: time)
    }

    func lockedSchedules(ofMarket market: String, isUnarmed: Bool, after: ScheduleID?, limit: Int) async throws -> [Schedule] {
        try life.spend()
        return try await inner.lockedSchedules(ofMarket: market, isUnarmed: isUnarmed, after: after, limit: limit)
    }

    func countSchedules(dueAt time: Timestamp, limit: Int) async throws -> Int {
        try life.spend()
        return try await inner.countSchedules(dueAt: time, limit: limit)
    }

    func add(_ occurrences: [Occurrence]) async throws -> Set<OccurrenceID> {
        try life.spend()
        return try await inner.add(occurrences)
    }

    func lockedOccurrences(_ ids: [OccurrenceID]) async throws -> [Occurrence] {
        try life.spend()
        return try await inner.lockedOccurrences(ids)
    }

    func update(_ occurrences: [Occurrence]) async throws {
        try life.spend()
        try await inner.update(occurrences)
    }

    func insert(_ jobs: [NewJob]) async throws -> [Insertion] {
        try life.spend()
        return try await inner.insert(jobs)
    }

    func takeEventVersions(_ counts: [SignalID: Int]) async throws -> [SignalID: Int64] {
        try life.spend()
        return try await inner.takeEventVersions(counts)
    }

    func nextDueTimes(of signals: [SignalID]) async throws -> [SignalID: Timestamp] {
        try life.spend()
        return try await inner.nextDueTimes(of: signals)
    }

    func say<Body: EventBody>(_ events: [(event: Body, subjectVersion: Int64)]) async throws {
        try life.spend()
        try await inner.say(events)
        // The last statement is done and the commit is not.
        try life.spend()
    }
}
