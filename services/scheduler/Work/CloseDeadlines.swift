import Contracts
import HTTPServing
import ServiceRuntime
import Synchronization

/// Settles what waited for the close of a bar of which nobody heard: it is `missed`, with the reason `no_close_heard`.
///
/// That is done when a run of that bar could not begin any more even if its close were heard: a close has its window from when it is known, and it is
/// known at the bar's end or later. One that comes after all finds the due time settled and makes no run.
final class CloseDeadlines: Component {
    let name = "close-deadlines"
    static let interval = Duration.seconds(5)
    /// How long after the end of a bar's window its close is given up: a feed waits for late trades, and news takes its time.
    static let grace = Duration.seconds(5)
    /// What marketdata said of bars ahead stays good for so long.
    static let refreshAfter = Duration.seconds(600)
    /// How far ahead it is asked.
    static let horizon = Duration.seconds(14 * 86_400)
    /// How far back: a scheduler that was down for longer settles no more than this.
    static let reach = Duration.seconds(35 * 86_400)
    private static let retryAfterNanoseconds: UInt64 = 10_000_000_000
    /// So much later at least is what is written of bars of which none closes.
    static let moveAfter = Duration.seconds(60)
    /// As many closes one transaction looks at.
    private static let batch = 50

    /// What marketdata says of the bars that close in a stretch of time; nil if it has no such instrument.
    typealias Ask = @Sendable (_ bar: WatchedBar, _ from: Timestamp, _ through: Timestamp) async throws -> ExpectedBars?

    private let store: CloseDeadlineStore
    private let ask: Ask
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let resting = Mutex<[WatchedBar: UInt64]>([:])
    /// What marketdata said, as it was stored at the last look.
    private let said = Mutex<[WatchedBar: CloseDeadlineStore.Known]>([:])
    private let logger = Logger("close-deadlines")
    private let given = Metrics.shared.counter("auspex_scheduler_closes_given_up_total", help: "Due times of bars whose close nobody announced.")

    init(store: CloseDeadlineStore, time: any TimeSource, loop: EventLoop, ask: @escaping Ask) {
        self.store = store
        self.time = time
        self.loop = loop
        self.ask = ask
    }

    convenience init(store: CloseDeadlineStore, marketdata: ServiceClient, time: any TimeSource, loop: EventLoop) {
        self.init(store: store, time: time, loop: loop) { bar, from, through in
            do {
                return try await marketdata.get(
                    "/internal/v1/instruments/\(PercentCoding.encode(bar.instrument))/closes",
                    query: [("interval_seconds", String(bar.intervalSeconds)), ("from", from.iso8601), ("through", through.iso8601)]
                )
            } catch ServiceClientError.refused(_, 404, "unknown_instrument", _) {
                // Any other 404 is of something between, or of a version that cannot say.
                return nil
            }
        }
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time, logger: logger, failure: "could not look after closes that nobody heard") { [self] in
            try await look()
        }
    }

    func stop() async {
        await work.stop()
    }

    /// Settles everything whose time is over.
    func look() async throws {
        let start = time.now()
        let standings = try await store.standings()
        try await readAgain(standings)
        var looked: [WatchedBar: CloseDeadlineStore.Known] = [:]
        var new: [(deadline: BarDeadline, settledTo: Timestamp)] = []
        var moved: [(deadline: BarDeadline, from: Timestamp, to: Timestamp)] = []
        for standing in standings {
            let deadline = standing.deadline
            let due = start - .seconds(deadline.windowSeconds) - Self.grace
            // Asked in any case: what closes from now on is settled by what is said now.
            if looked[standing.bar] == nil { looked[standing.bar] = try await known(of: standing.bar, now: start) }
            guard let settled = standing.settledTo else {
                // What closed before anybody looked was nobody's business here; what closes while marketdata cannot say so is settled later.
                new.append((deadline, due))
                continue
            }
            guard let known = looked[standing.bar] else { continue }
            let end = min(due, known.knownThrough)
            let closes = known.bars.closes(after: settled, through: end, limit: Self.batch)
            if closes.isEmpty {
                // Where nothing happens, nothing is written but once a minute.
                if end - settled >= Self.moveAfter { moved.append((deadline, settled, end)) }
                continue
            }
            if closes.count < Self.batch, try await !store.isUnheard(closes, deadline) {
                moved.append((deadline, settled, end))
                continue
            }
            var isDone = false
            while !isDone {
                isDone = try await settle(deadline, known.bars, through: end)
            }
        }
        try await store.begin(new)
        try await store.move(moved)
    }

    /// Reads what marketdata said of bars where that is not what it was at the last look.
    private func readAgain(_ standings: [CloseDeadlineStore.Standing]) async throws {
        let stored = Dictionary(standings.map { ($0.bar, $0.refreshedAt) }) { first, _ in first }
        let changed = said.withLock { said in
            said = said.filter { stored[$0.key] != nil }
            return stored.compactMap { bar, refreshedAt in refreshedAt != nil && said[bar]?.refreshedAt != refreshedAt ? bar : nil }
        }
        let read = try await store.known(of: changed)
        said.withLock { $0.merge(read) { _, new in new } }
    }

    /// Settles the next few closes; true when there are no more.
    private func settle(_ deadline: BarDeadline, _ bars: ExpectedBars, through end: Timestamp) async throws -> Bool {
        let isDone = Mutex(true)
        let count = Mutex(0)
        try await store.advance(deadline) { [store, time] settled, transaction in
            count.withLock { $0 = 0 }
            let closes = bars.closes(after: settled, through: end, limit: Self.batch)
            isDone.withLock { $0 = closes.count < Self.batch }
            guard let last = closes.last else { return max(settled, end) }
            let unheard = try await store.lockedUnheard(closes, deadline, in: transaction)
            let now = time.now()
            let made = unheard.compactMap { schedule, close in Self.missed(close, of: schedule, deadline, now: now) }
            count.withLock { $0 = made.count }
            _ = try await OccurrenceMaker.write(made, meeting: [:], in: transaction)
            return closes.count < Self.batch ? max(last, end) : last
        }
        given.increment(by: count.withLock { $0 })
        return isDone.withLock { $0 }
    }

    private static func missed(_ close: Timestamp, of schedule: Schedule, _ deadline: BarDeadline, now: Timestamp) -> OccurrenceMaker.Made? {
        // Nothing would have run in a pause; a close that comes after all is skipped then.
        guard let publication = schedule.publication, publication.manifest.policy.contains(close), !schedule.wasPaused(at: close) else { return nil }
        let occurrence = Occurrence(
            id: .make(),
            scheduleID: schedule.id,
            signalID: schedule.signalID,
            accountID: schedule.accountID,
            dueAt: close,
            asOf: close,
            barInstrument: deadline.instrument,
            barEnd: close,
            outcome: .missed,
            reason: "no_close_heard",
            madeAt: now
        )
        return OccurrenceMaker.Made(occurrence: occurrence, publication: publication, nextDueAt: nil)
    }

    /// What is known of bars ahead; asks marketdata where that is old. With marketdata away what it said before goes on counting.
    private func known(of bar: WatchedBar, now: Timestamp) async throws -> CloseDeadlineStore.Known? {
        let known = said.withLock { $0[bar] }
        if let known, known.refreshedAt > now - Self.refreshAfter { return known }
        let clock = time.monotonicNanoseconds()
        guard resting.withLock({ $0[bar].map { clock >= $0 } ?? true }) else { return known }
        do {
            let said = try await ask(bar, now - Self.reach, now + Self.horizon)
            guard let answer = Self.knowledge(said, of: known, now: now) else {
                rest(bar, at: clock, "it has no word of why nothing is expected")
                return known
            }
            try await store.save(answer, of: bar)
            resting.withLock { $0[bar] = nil }
            return answer
        } catch let error as ServiceClientError {
            rest(bar, at: clock, error.description)
            return known
        }
    }

    private func rest(_ bar: WatchedBar, at clock: UInt64, _ reason: String) {
        if resting.withLock({ $0.updateValue(clock + Self.retryAfterNanoseconds, forKey: bar) }) == nil {
            logger.warning("marketdata could not say when bars close", ["bar": .string(bar.instrument), "reason": .string(reason)])
        }
    }

    /// What an answer makes of what was known; nil when it must change nothing.
    ///
    /// That nothing closes is knowledge of the time that is over and not of days ahead: the instrument may go live at any moment. And what was expected is
    /// given up only for an answer that says why nothing is; an instrument that marketdata cannot find has not stopped.
    private static func knowledge(_ said: ExpectedBars?, of known: CloseDeadlineStore.Known?, now: Timestamp) -> CloseDeadlineStore.Known? {
        guard var bars = said ?? (known?.bars.liveSince == nil ? ExpectedBars(liveSince: nil, silence: "unknown_instrument", stretches: []) : nil),
            bars.isDefinite
        else { return nil }
        if let known { bars = bars.succeeding(known.bars, confirmedAt: known.refreshedAt, horizon: now - reach) }
        return CloseDeadlineStore.Known(bars: bars, knownThrough: bars.liveSince == nil ? now : now + horizon, refreshedAt: now)
    }
}
