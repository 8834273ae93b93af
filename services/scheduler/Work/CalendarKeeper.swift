import Contracts
import HTTPServing
import Schedules
import ServiceRuntime
import Synchronization

/// Keeps what is known of the markets that schedules follow: asks marketdata for the days ahead, every ten minutes and as soon as somebody arms a
/// schedule of a market that is new, and arms what follows it anew.
///
/// With marketdata away schedules go on by what is known, two weeks ahead. Beyond that nothing is decided: what was due meanwhile gets its outcome when
/// marketdata is back.
final class CalendarKeeper: Component {
    let name = "calendars"
    static let interval = Duration.seconds(1)
    /// What marketdata answered stays good for so long.
    static let refreshAfter = Duration.seconds(600)
    /// A market about which it could say nothing is asked for again after this.
    static let retryAfterNanoseconds: UInt64 = 10_000_000_000
    private static let batch = 500

    /// What marketdata says of a market; nil if it knows no such instrument.
    typealias Ask = @Sendable (_ market: String, _ from: Timestamp, _ through: Timestamp) async throws -> MarketSessions?

    private let store: any SchedulerStore
    private let ask: Ask
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    /// When markets that have a fault may be asked for again, by the monotonic clock.
    private let resting = Mutex<[String: UInt64]>([:])
    private let logger = Logger("calendars")

    init(store: any SchedulerStore, time: any TimeSource, loop: EventLoop, ask: @escaping Ask) {
        self.store = store
        self.time = time
        self.loop = loop
        self.ask = ask
    }

    convenience init(store: any SchedulerStore, marketdata: ServiceClient, time: any TimeSource, loop: EventLoop) {
        self.init(store: store, time: time, loop: loop) { market, from, through in
            try await marketdata.sessions(of: market, from: from, through: through)
        }
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time, logger: logger, failure: "could not look after the calendars") { [self] in
            try await look()
        }
    }

    func stop() async {
        await work.stop()
    }

    /// Asks about every market that has not been answered for lately.
    func look() async throws {
        for market in try await store.markets(unansweredSince: time.now() - Self.refreshAfter) where mayAsk(market) {
            do {
                try await refresh(market)
                resting.withLock { $0[market] = nil }
            } catch let error as ServiceClientError {
                try await rest(market, error.description)
            } catch let error as UnknownMarket {
                try await rest(market, error.description)
            }
        }
    }

    private func mayAsk(_ market: String) -> Bool {
        let now = time.monotonicNanoseconds()
        return resting.withLock { $0[market].map { now >= $0 } ?? true }
    }

    private func rest(_ market: String, _ fault: String) async throws {
        let until = time.monotonicNanoseconds() + Self.retryAfterNanoseconds
        if resting.withLock({ $0.updateValue(until, forKey: market) }) == nil {
            logger.warning("the sessions of a market could not be learnt", ["market": .string(market), "reason": .string(fault)])
        }
        try await store.note(fault: fault, ofMarket: market)
    }

    private struct UnknownMarket: Error, CustomStringConvertible {
        let description: String
    }

    private func refresh(_ market: String) async throws {
        let asked = time.now()
        guard let answer = try await ask(market, asked - MarketKnowledge.reach, asked + MarketKnowledge.horizon) else {
            throw UnknownMarket(description: "marketdata knows no instrument \(market)")
        }
        let turn = try await store.transaction { [time] transaction -> (isRearming: Bool, since: Timestamp)? in
            let now = time.now()
            let known = try await transaction.lockedMarket(market)
            // Another replica was answered at the same time.
            if let refreshed = known.refreshedAt, refreshed >= asked - Self.refreshAfter { return nil }
            let sessions = MarketKnowledge.merged(known.sessions, with: answer, now: now)
            // What somebody began and did not end is begun again.
            let isRearming = known.rearmingSince != nil || MarketKnowledge.moves(known.sessions, to: sessions, now: now)
            try await transaction.save(sessions, of: market, at: now, isRearming: isRearming)
            return (isRearming, now)
        }
        guard let turn else { return }
        try await rearm(market, isUnarmed: !turn.isRearming)
        if turn.isRearming { try await store.transaction { try await $0.finishRearming(market, since: turn.since) } }
    }

    /// Sets when schedules of a market are due next, by what is known of it now: all of them, or those of which that could not be said. Some hundred in
    /// one transaction, so that nothing that falls due meanwhile waits for the rest.
    private func rearm(_ market: String, isUnarmed: Bool) async throws {
        var last: ScheduleID?
        repeat {
            let after = last
            last = try await store.transaction { transaction in
                let schedules = try await transaction.lockedSchedules(ofMarket: market, isUnarmed: isUnarmed, after: after, limit: Self.batch)
                // Read when they are held: a replica that learns more later arms them after this.
                let sessions = try await transaction.sessions(of: [market])[market] ?? .unknown
                var changed: [Schedule] = []
                for var schedule in schedules {
                    guard let manifest = schedule.publication?.manifest, let grid = try? ScheduleGrid(manifest.schedule) else { continue }
                    let due = DueTimes(grid, manifest.policy, sessions: sessions)
                    let next = schedule.pause == nil ? TickPlan.armed(due, after: schedule.cursor) : PausePlan.nextLook(due, after: schedule.cursor)
                    if schedule.nextDueAt == next { continue }
                    schedule.nextDueAt = next
                    changed.append(schedule)
                }
                if !changed.isEmpty { try await transaction.advance(changed) }
                return schedules.count == Self.batch ? schedules.last?.id : nil
            }
        } while last != nil
    }
}
