import Bars
import Contracts
import ServiceRuntime
import Synchronization

/// The source as the last layer of the cache: what people ask for, a rule covers and nobody has fetched yet, is fetched before they are answered.
///
/// Runs, outcomes, replays and the feed never come by here, and neither do questions as of a moment: they are answered of what was known, and that is what
/// is stored. Who waits too long is answered of what there is, and told so; the fetch goes on.
final class FetchFirst: Sendable {
    /// The header of an answer that could not be made whole: why.
    static let header = "X-Auspex-Not-Fetched"
    /// One question fetches so many pieces at most.
    static let maximumPieces = 40

    private let fetches: Fetches
    private let calendars: Calendars
    private let time: any TimeSource
    private let patience: Duration
    private let logger = Logger("fetch-first")
    private let known = Mutex<[String: (rules: [KeepRule], readAt: UInt64)]>([:])
    private let failed = Mutex<[FetchSlot: (failure: FetchFailure, symbol: String, until: UInt64)]>([:])

    /// A rule that another replica made, changed or fetched by is seen this much later.
    private static let rulesLifetime: UInt64 = 5_000_000_000
    private static let passingPause: UInt64 = 30_000_000_000
    private static let lastingPause: UInt64 = 600_000_000_000

    init(fetches: Fetches, calendars: Calendars, time: any TimeSource, patience: Duration) {
        self.fetches = fetches
        self.calendars = calendars
        self.time = time
        self.patience = patience
    }

    /// The rules of an instrument changed, or somebody wants them to run: what failed by them may be asked for again.
    func forget(_ symbol: String) {
        reread(symbol)
        failed.withLock { failed in failed = failed.filter { $0.value.symbol != symbol } }
    }

    private func reread(_ symbol: String) { known.withLock { $0[symbol] = nil } }

    /// Fetches what a question lacks; gives a word where it stays incomplete: `late`, `too_much`, or what the source said.
    func prepare(_ request: BarRequest) async throws -> String? {
        guard request.asOf == nil, request.revisionsAsOf == nil, let rule = try await rule(of: request.symbol, request.interval) else { return nil }
        let now = time.now()
        let end = min(request.end ?? now, now)
        // An exchange is open for a quarter of the hours of its days, and closed on some.
        let wanted = min(request.countback ?? request.limit, request.limit)
        let width = Duration.seconds((wanted + 1) * request.interval.seconds * 6 + 5 * 86_400)
        if let start = request.start {
            let limited = request.countback == nil ? min(end, start + width) : end
            return try await fetch(start..<max(start, limited), by: rule, oldestFirst: true, now: now)
        }
        return try await fetch((end - width)..<end, by: rule, oldestFirst: false, now: now)
    }

    /// The same for a chart, all of whose parts are answered as of its beginning.
    func prepare(_ question: ChartQuestion) async throws -> String? {
        guard let rule = try await rule(of: question.symbol, question.interval) else { return nil }
        let range = try question.range.resolved(by: try await calendars.calendar(named: rule.calendar))
        return try await fetch(range, by: rule, oldestFirst: false, now: time.now())
    }

    /// The rule whose bars answer an interval best: the longest that divide it.
    private func rule(of symbol: String, _ interval: BarInterval) async throws -> KeepRule? {
        guard InstrumentSymbol.canExist(symbol) else { return nil }
        return try await rules(of: symbol).filter { interval.isMultiple(ofSeconds: $0.kind.intervalSeconds) }
            .max { $0.kind.intervalSeconds < $1.kind.intervalSeconds }
    }

    private func rules(of symbol: String) async throws -> [KeepRule] {
        let now = time.monotonicNanoseconds()
        if let found = known.withLock({ $0[symbol] }), now < found.readAt + Self.rulesLifetime { return found.rules }
        let rules = try await fetches.store.enabledRules(ofSymbol: symbol)
        known.withLock { known in
            if known.count >= 10_000 { known.removeAll(keepingCapacity: true) }
            known[symbol] = (rules, now)
        }
        return rules
    }

    private func fetch(_ asked: Range<Timestamp>, by rule: KeepRule, oldestFirst: Bool, now: Timestamp) async throws -> String? {
        // What is younger comes with the rule's own next round, or every reader would ask the source for the last minute.
        let until = min(asked.upperBound, now - .seconds(rule.everySeconds), rule.settled(by: now))
        let since = max(asked.lowerBound, rule.floor)
        guard since < until else { return nil }
        let missing = rule.spokenFor.missing(in: since..<until)
        guard !missing.isEmpty else { return nil }
        let all = FetchSlot.covering(missing, of: rule, maximum: 10_000)
        let slots = oldestFirst ? all.suffix(Self.maximumPieces) : all.prefix(Self.maximumPieces)
        var word = all.count > slots.count ? "too_much" : nil
        let monotonic = time.monotonicNanoseconds()
        let open = slots.filter { slot in
            guard let known = failed.withLock({ $0[slot] }), monotonic < known.until else { return true }
            word = known.failure.code
            return false
        }
        guard !open.isEmpty else { return counted(word) }
        let report: FetchReport
        do {
            report = try await withDeadline(patience, time: time, orThrow: TookTooLong()) { [self] in
                try await withThrowingTaskGroup(of: FetchReport.self) { group in
                    for slot in open {
                        group.addTask { [self] in
                            let report = try await fetches.fill(rule, slot)
                            if let failure = report.failure { remember(failure, of: slot, rule.symbol) }
                            return report
                        }
                    }
                    return try await group.reduce(into: FetchReport()) { $0.add($1) }
                }
            }
        } catch is TookTooLong {
            return counted("late")
        } catch {
            try Task.checkCancellation()
            // What is stored is answered all the same.
            logger.warning("what somebody reads could not be fetched", ["rule": .string(rule.id.description), "error": .string("\(error)")])
            return counted("failed")
        }
        reread(rule.symbol)
        return counted(report.failure?.code ?? word)
    }

    private struct TookTooLong: Error {}

    private func counted(_ word: String?) -> String? {
        Metrics.shared.counter(
            "marketdata_read_fetches_total",
            help: "Reads that needed bars which nobody had fetched, by what came of it.",
            labels: ["outcome": word ?? "fetched"]
        ).increment()
        return word
    }

    /// A source that just failed is not asked again by each who reads.
    private func remember(_ failure: FetchFailure, of slot: FetchSlot, _ symbol: String) {
        let until = time.monotonicNanoseconds() + (failure.isPassing ? Self.passingPause : Self.lastingPause)
        failed.withLock { failed in
            if failed.count >= 10_000 { failed.removeAll(keepingCapacity: true) }
            failed[slot] = (failure, symbol, until)
        }
    }
}
