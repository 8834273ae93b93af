import Contracts
import FoundationEssentials
import ServiceRuntime
import Synchronization

/// Keeps instruments up to date: takes the rules that are due, one after the other, and fetches what is missing.
///
/// Replicas share the rules by leases in the database, so that a killed one is followed by another. What it had fetched is stored; what it had not is
/// missing still. A run takes so many pieces at most and is then due again at once, so that a backfill of years keeps nobody else waiting.
final class Keeper: Component {
    let name = "keeper"

    private static let leaseSeconds = 30
    static let piecesARun = 16
    /// So many pieces of a run may not be had before it ends.
    static let failuresARun = 4

    private let store: KeepStore
    private let fetches: Fetches
    private let time: any TimeSource
    private let loop: EventLoop
    private let runner = "marketdata-" + UUID().uuidString.lowercased()
    private let logger = Logger("keeper")
    private let workers: [BackgroundTask]
    private let isWoken = Mutex(false)
    /// Pieces that could not be had, of rules that have older ones to ask for.
    private let lacking = Mutex<[KeepRuleID: Set<FetchSlot>]>([:])

    init(store: KeepStore, fetches: Fetches, time: any TimeSource, loop: EventLoop, atOnce: Int = 2) {
        self.store = store
        self.fetches = fetches
        self.time = time
        self.loop = loop
        workers = (0..<atOnce).map { _ in BackgroundTask() }
    }

    func start() async throws {
        for worker in workers {
            worker.start(on: loop) { [self] in
                while !Task.isCancelled {
                    while await round(), !Task.isCancelled {}
                    for _ in 0..<20 where !Task.isCancelled {
                        if isWoken.withLock({ flag in
                            defer { flag = false }
                            return flag
                        }) {
                            break
                        }
                        do { try await time.sleep(for: .milliseconds(100)) } catch { return }
                    }
                }
            }
        }
    }

    func stop() async { for worker in workers { await worker.stop() } }

    /// Something became due: look at once.
    func wake() { isWoken.withLock { $0 = true } }

    /// A rule was changed, or somebody wants it to run: all of its pieces may be asked for.
    func wake(_ rule: KeepRuleID) {
        lacking.withLock { $0[rule] = nil }
        wake()
    }

    /// Works on the rule that has been due for longest; false when none is.
    func round() async -> Bool {
        do {
            guard let rule = try await store.claim(runner: runner, leaseSeconds: Self.leaseSeconds) else { return false }
            await run(rule)
            return true
        } catch {
            logger.warning("rules could not be claimed", ["error": .string("\(error)")])
            return false
        }
    }

    private struct LostLease: Error {}

    private func run(_ rule: KeepRule) async {
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { [self] in
                    while true {
                        try await time.sleep(for: .seconds(Self.leaseSeconds / 3))
                        guard try await store.renew(rule.id, runner: runner, leaseSeconds: Self.leaseSeconds) else { throw LostLease() }
                    }
                }
                group.addTask { [self] in try await work(on: rule) }
                defer { group.cancelAll() }
                _ = try await group.next()
            }
        } catch is LostLease {
            logger.notice("a rule is gone, or another replica works on it", ["rule": .string(rule.id.description)])
        } catch is CancellationError {
            await giveBack(rule)
        } catch {
            let failure = FetchFailure(code: "failed", detail: "It could not be worked on; the service's log tells why.", isPassing: true)
            logger.warning("a rule could not be worked on", ["rule": .string(rule.id.description), "error": .string("\(error)")])
            await finish(rule, FetchReport(failure: failure), failure.code, goesOn: false)
        }
    }

    private func work(on rule: KeepRule) async throws {
        let now = time.now()
        var report = FetchReport()
        let missing = rule.floor < now ? try await store.missing(rule, in: rule.floor..<now, now: now) : []
        // Until all pieces had their turn, nobody asks again for one that could not be had.
        let skipped = lacking.withLock { $0[rule.id] } ?? []
        let slots = FetchSlot.covering(missing, of: rule, maximum: skipped.count + Self.piecesARun + 1).filter { !skipped.contains($0) }
        var (asked, had, isEnded) = (0, 0, false)
        for slot in slots.prefix(Self.piecesARun) {
            let piece = try await fetches.fill(rule, slot)
            report.add(piece)
            asked += 1
            guard let failure = piece.failure else {
                had += 1
                continue
            }
            // What is to be tried again soon is the word for the run.
            if failure.endsTheRun || failure.isPassing { report.failure = failure }
            isEnded = failure.endsTheRun
            if isEnded { break }
            lacking.withLock { _ = $0[rule.id, default: []].insert(slot) }
            if asked - had == Self.failuresARun { break }
        }
        let isWhole = asked == slots.count && !isEnded
        if isWhole { lacking.withLock { $0[rule.id] = nil } }
        // Nothing new is not the same as nothing at all.
        var outcome = report.outcome
        if outcome == FetchReport.noData, try await store.hasBars(rule) { outcome = FetchReport.unchanged }
        await finish(rule, report, outcome, goesOn: !isWhole && !isEnded && had > 0)
    }

    private func finish(_ rule: KeepRule, _ report: FetchReport, _ made: String, goesOn: Bool) async {
        let failures = report.failure?.isPassing == true ? rule.failures + 1 : 0
        var outcome = made
        var pause: Int?
        if failures > 0 {
            pause = KeepRule.pauseSeconds(failures: failures, everySeconds: rule.everySeconds)
        } else if goesOn {
            outcome = "backfilling"
            pause = 0
        }
        Metrics.shared.counter("marketdata_keep_runs_total", help: "Runs of rules that keep instruments up to date.", labels: ["outcome": outcome])
            .increment()
        let days = report.days
        logger.info(
            "a rule was run",
            [
                "rule": .string(rule.id.description), "instrument": .string(rule.symbol), "source": .string(rule.source), "outcome": .string(outcome),
                "requests": .integer(report.requests), "rows": .integer(report.rows),
                "days": .integer(days.added + days.extended + days.revised),
            ]
        )
        do {
            try await store.finish(rule, runner: runner, report: report, outcome: outcome, failures: failures, pauseSeconds: pause)
        } catch {
            // The lease runs out by itself, and somebody begins again: what was fetched is found stored.
            logger.warning("what became of a rule was not noted", ["rule": .string(rule.id.description), "error": .string("\(error)")])
        }
    }

    /// On the way out: the next replica need not wait for the end of the lease.
    private func giveBack(_ rule: KeepRule) async {
        let (store, runner) = (store, runner)
        _ = await Task(on: loop) { try? await store.release(rule.id, runner: runner) }.value
    }
}
