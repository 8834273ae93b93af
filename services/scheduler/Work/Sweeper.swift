import Contracts
import Postgres
import ServiceRuntime
import Synchronization

/// Takes back what silent workers hold, ends waits that took too long, and tells workers of jobs whose time to be tried again has come.
///
/// After a start, and after the database was away, it takes nothing back until workers have had a whole lease to renew: it was we who were silent. So
/// it is after this process stood still, which shows as a gap between two rounds.
final class Sweeper: Component {
    let name = "sweeper"
    static let interval = Duration.seconds(1)
    static let batch = 500
    /// How many transactions of a round let dependants go that an end left over.
    static let unblockings = 20
    /// Jobs that are raised in a round. Each is rewritten, so a million that have waited for ten minutes are not raised at once but the oldest first.
    static let raised = 1_000

    private let store: any SchedulerStore
    private let time: any TimeSource
    private let loop: EventLoop
    private let hint: @Sendable (ResourceClass) -> Void
    /// A longer time between two rounds means that nothing was served in between.
    static let longestGap: UInt64 = 5_000_000_000
    private let servingSince: Mutex<UInt64>
    private let lastRound: Mutex<UInt64>
    private let rounds = Mutex(0)
    private let work = BackgroundTask()
    private let logger = Logger("sweeper")
    private let taken = Metrics.shared.counter("auspex_scheduler_leases_expired_total", help: "Jobs taken back from silent workers.")

    init(store: any SchedulerStore, time: any TimeSource, loop: EventLoop, hint: @escaping @Sendable (ResourceClass) -> Void) {
        self.store = store
        self.time = time
        self.loop = loop
        self.hint = hint
        servingSince = Mutex(time.monotonicNanoseconds())
        lastRound = Mutex(time.monotonicNanoseconds())
    }

    func start() async throws {
        servingSince.withLock { $0 = time.monotonicNanoseconds() }
        lastRound.withLock { $0 = time.monotonicNanoseconds() }
        work.start(on: loop, every: Self.interval, time: time, pausesFirst: true) { [self] in await round() }
    }

    func stop() async {
        await work.stop()
    }

    /// Whether workers have had the time to renew.
    var mayExpire: Bool {
        time.monotonicNanoseconds() >= servingSince.withLock { $0 } + UInt64(JobLimits.leaseSeconds) * 1_000_000_000
    }

    private func noticeGap() {
        let now = time.monotonicNanoseconds()
        let gap = lastRound.withLock { last -> UInt64 in
            defer { last = now }
            return now - min(last, now)
        }
        if gap <= Self.longestGap { return }
        servingSince.withLock { $0 = now }
        logger.warning("stood still; no lease ends before workers could renew", ["seconds": .integer(Int(gap / 1_000_000_000))])
    }

    /// One look at everything.
    func round() async {
        noticeGap()
        if mayExpire {
            await step("leases") {
                let lost = try await store.expireLeases(limit: Self.batch)
                if lost == 0 { return }
                taken.increment(by: lost)
                logger.warning("took jobs back from silent workers", ["jobs": .integer(lost)])
            }
        }
        let count = rounds.withLock { rounds -> Int in
            rounds += 1
            return rounds
        }
        if count % 5 == 0 { await step("waits") { _ = try await store.expireWaits(limit: Self.batch) } }
        await step("dependants") {
            for _ in 0..<Self.unblockings {
                let ends = try await store.unblockLeftOver(limit: 10)
                if ends == 0 { return }
            }
        }
        await step("ranks") { _ = try await store.raiseWaiting(limit: Self.raised) }
        await step("hints") { for resourceClass in try await store.claimableClasses() { hint(resourceClass) } }
    }

    /// One part of a round; what goes wrong in it keeps no other part from being done.
    private func step(_ name: String, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch is CancellationError {
            return
        } catch {
            // With the database away renewals could not be served either. Any other fault says nothing about the workers.
            if (error as? PostgresError)?.isPassing ?? true { servingSince.withLock { $0 = time.monotonicNanoseconds() } }
            logger.warning("could not sweep", ["part": .string(name), "reason": .string(String(reflecting: error))])
        }
    }
}
