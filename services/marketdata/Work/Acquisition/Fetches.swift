import Bars
import Contracts
import HTTPServing
import Postgres
import ServiceRuntime

/// Fetches pieces of a rule's time out of its source and stores them: each piece once at a time, whoever wants it on whichever replica.
///
/// It runs on its own, so that who wanted a piece may go away, and a few at a time.
final class Fetches: Component {
    let name = "fetches"

    private let sources: SourceCatalogue
    let store: KeepStore
    private let importer: Importer
    private let calendars: Calendars
    private let lock: FetchLock
    private let time: any TimeSource
    private let loop: EventLoop
    private let atOnce: Int
    /// No answer takes longer.
    private let deadline: Duration
    private let flights = SingleFlight<FetchSlot, FetchReport>()
    private let work = BackgroundTask()
    private let logger = Logger("fetches")
    private typealias Job = @Sendable () async -> Void
    private let (jobs, hand) = AsyncStream.makeStream(of: Job.self, bufferingPolicy: .bufferingOldest(256))

    init(
        sources: SourceCatalogue,
        store: KeepStore,
        importer: Importer,
        calendars: Calendars,
        lock: FetchLock,
        time: any TimeSource,
        loop: EventLoop,
        atOnce: Int = 8,
        deadline: Duration = .seconds(900)
    ) {
        self.sources = sources
        self.store = store
        self.importer = importer
        self.calendars = calendars
        self.lock = lock
        self.time = time
        self.loop = loop
        self.atOnce = atOnce
        self.deadline = deadline
    }

    func start() async throws {
        work.start(on: loop) { [jobs, atOnce] in
            await withTaskGroup(of: Void.self) { group in
                var running = 0
                for await job in jobs {
                    if running == atOnce {
                        await group.next()
                        running -= 1
                    }
                    group.addTask { await job() }
                    running += 1
                }
                group.cancelAll()
            }
        }
    }

    func stop() async {
        hand.finish()
        await work.stop()
        await lock.session.close()
    }

    /// How many wait for a piece.
    var followers: Int { flights.followers }

    /// What of a piece is over and was never asked for is there when this returns, or the report says why not.
    func fill(_ rule: KeepRule, _ slot: FetchSlot) async throws -> FetchReport {
        let report = try await flights.value(
            for: slot,
            by: { [hand] job in
                if case .enqueued = hand.yield(job) { true } else { false }
            },
            { [self] in try await fetch(rule, slot) }
        )
        return report ?? FetchReport(failure: FetchFailure(.busy))
    }

    private func fetch(_ rule: KeepRule, _ slot: FetchSlot) async throws -> FetchReport {
        guard let source = sources.source(rule.source) else { return counted(FetchReport(failure: .notConfigured(rule.source)), rule) }
        let report = try await lock.holding(slot.description) { [self] in try await fetchAlone(rule, slot, source) }
        return counted(report, rule)
    }

    private func counted(_ report: FetchReport, _ rule: KeepRule) -> FetchReport {
        Metrics.shared.counter(
            "marketdata_fetches_total",
            help: "Pieces of history that were fetched from a source, by what came of it.",
            labels: ["source": rule.source, "outcome": report.outcome]
        ).increment()
        if let failure = report.failure {
            logger.warning(
                "a source did not give what was asked of it",
                [
                    "rule": .string(rule.id.description), "instrument": .string(rule.symbol), "source": .string(rule.source),
                    "code": .string(failure.code), "reason": .string(failure.detail),
                ]
            )
        }
        return report
    }

    private func fetchAlone(_ rule: KeepRule, _ slot: FetchSlot, _ source: any Source) async throws -> FetchReport {
        let now = time.now()
        // Whoever held the lock before may have brought it.
        var stretches = try await store.missing(rule, in: slot.range, now: now)
        let settled = min(rule.settled(by: now), slot.range.upperBound)
        var report = FetchReport()
        // The newest first: it is what most people look at, and where a source's reach ends it is known which part is left out.
        while let stretch = stretches.popLast() {
            do {
                report.add(try await fetch(stretch, of: rule, from: source, now: now))
            } catch let error as SourceError {
                report.failure = FetchFailure(error)
                switch error {
                case .beyondReach, .tooLarge, .tooMany:
                    // A busy day of trades may be more than an answer takes.
                    if let (older, newer) = stretch.halves(cutAt: .seconds(rule.kind.intervalSeconds < 60 ? 3_600 : 86_400)) {
                        report.failure = nil
                        stretches += [older, newer]
                        continue
                    }
                    if case .beyondReach = error { try await store.reached(stretch.upperBound, of: rule) }
                default: break
                }
                return report
            }
        }
        guard report.failure == nil else { return report }
        // What stored days speak for need not be looked up again either.
        let since = max(slot.range.lowerBound, rule.floor)
        if since < settled { try await store.remember([since..<settled], of: rule) }
        return report
    }

    /// Asks for one stretch and stores what comes. Throws `SourceError`.
    private func fetch(_ stretch: Range<Timestamp>, of rule: KeepRule, from source: any Source, now: Timestamp) async throws -> FetchReport {
        var request = HistoryRequest(symbol: rule.sourceSymbol, instrument: rule.symbol, kind: rule.kind, range: stretch)
        request.assetClass = rule.assetClass
        request.calendar = try await calendars.calendar(named: rule.calendar)
        let asked = request
        var report = FetchReport(requests: 1)
        let answer = try await withDeadline(deadline, time: time, orThrow: SourceError.unavailable("no answer within \(deadline)")) {
            try await source.history(asked)
        }
        var mark = FetchMark(rule, asked: stretch)
        guard let file = answer else {
            mark.remembered = remembered(of: stretch, until: rule.settled(by: now), without: [])
            try await store.remember(mark.remembered, of: rule)
            return report
        }
        // Bars of a series come one after the other: all that begin before the end of the last one are there.
        let last = file.series.map { $0.bars.ends.last ?? .min }.min() ?? .min
        let until = max(rule.settled(by: now), Timestamp(microseconds: max(last, Timestamp.distantPast.microseconds)))
        mark.remembered = remembered(of: stretch, until: until, without: file.problems.days)
        do {
            let outcome = try await importer.run(
                file,
                from: rule.source,
                name: "\(rule.source) \(rule.sourceSymbol) \(rule.kind.text) \(stretch.lowerBound) \(stretch.upperBound)",
                mark: mark
            )
            report.rows = outcome.rows
            report.days = outcome.days
            if !outcome.problems.isEmpty { report.failure = badRows(outcome.problems) }
        } catch ImportError.badRows(let problems) {
            report.rows = file.rows
            report.failure = badRows(problems)
        } catch let error as ImportError {
            report.failure = FetchFailure(.broken(error.detail))
        } catch is FetchOvertaken {
            logger.notice("what was fetched is stored by somebody else, or asked otherwise by now", ["rule": .string(rule.id.description)])
        }
        return report
    }

    private func badRows(_ problems: RowProblems) -> FetchFailure {
        FetchFailure(code: FetchFailure.badRows, detail: problems.summary, isPassing: false, endsTheRun: false)
    }

    /// What of a stretch need not be asked for again: what is settled, days with bad rows apart.
    private func remembered(of stretch: Range<Timestamp>, until: Timestamp, without days: Set<CivilDay>) -> [Range<Timestamp>] {
        guard stretch.lowerBound < until else { return [] }
        let whole = stretch.lowerBound..<min(stretch.upperBound, until)
        let bad = days.sorted().map { Timestamp(seconds: $0.seconds)..<Timestamp(seconds: ($0 + 1).seconds) }
        return Stretches(bad).missing(in: whole)
    }
}
