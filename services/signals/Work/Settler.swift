import Contracts
import ServiceRuntime

/// Finds out what really happened in the windows of a signal's predictions.
struct Settler: Sendable {
    /// Windows with more base bars than this are measured by the signal's own, coarser bars.
    static let maximumBars = 20_000

    let store: any SignalsStore
    let market: any MarketData
    let time: any TimeSource

    /// What one pass did.
    struct Report: Sendable, Hashable {
        var settled = 0
        var unresolved = 0
        var waiting = 0
    }

    /// Looks at all predictions of the signal that are due to be looked at.
    func settle(_ signalID: SignalID) async throws -> Report {
        var report = Report()
        let now = time.now()
        let pending = try await store.pendingOutcomes(signalID, now: now, limit: 200)
        guard !pending.isEmpty else { return report }
        let signalSeconds = try await ownBarSeconds(of: signalID)
        // A signal's rows speak of few instruments, often of one.
        var facts: [String: InstrumentFacts] = [:]
        for symbol in Set(pending.filter { Self.isReady($0, now: now) }.map(\.prediction.statement.row.instrument)) {
            facts[symbol] = try await market.instrument(symbol)
        }
        var outcomes: [Int64: SettledOutcome] = [:]
        var again: [Int64: Timestamp] = [:]
        for item in pending {
            let stored = item.prediction
            if let realised = try await outcome(
                of: item,
                facts: facts[stored.statement.row.instrument],
                signalSeconds: signalSeconds,
                now: now
            ) {
                let counts = LatenessRule.counts(
                    late: stored.statement.late,
                    feed: stored.statement.feed,
                    sealedAt: stored.seal?.sealedAt,
                    outcomeOpensAt: realised.opensAt
                )
                outcomes[stored.entry.seq] = SettledOutcome(
                    realised: realised,
                    counts: counts && realised.state == .settled,
                    settledAt: now
                )
                if realised.state == .settled { report.settled += 1 } else { report.unresolved += 1 }
            } else {
                again[stored.entry.seq] = Settlement.again(madeAt: stored.entry.madeAt, now: now)
                report.waiting += 1
            }
        }
        try await store.settle(signalID, outcomes: outcomes, again: again)
        return report
    }

    private func ownBarSeconds(of signalID: SignalID) async throws -> Int {
        guard let signal = try await store.signal(signalID), let versionID = signal.publishedVersionID,
            let version = try await store.version(versionID)
        else { return 60 }
        return BarInterval(version.outcomeInterval)?.seconds ?? 60
    }

    /// Whether the prediction counts depends on its seal, so the seal comes first.
    private static func isReady(_ item: PendingOutcome, now: Timestamp) -> Bool { item.prediction.seal != nil || now >= item.giveUpAt }

    /// The outcome, or nil when it is too early to tell.
    private func outcome(of item: PendingOutcome, facts: InstrumentFacts?, signalSeconds: Int, now: Timestamp) async throws -> RealisedOutcome? {
        let stored = item.prediction
        guard Self.isReady(item, now: now) else { return nil }
        guard let facts else {
            return now >= item.giveUpAt ? .unresolved("the instrument is not known any more") : nil
        }
        let window =
            stored.statement.feed == .live
            ? liveWindow(stored, now: now) : try await replayWindow(stored, baseSeconds: facts.baseIntervalSeconds, now: now)
        guard let window else {
            return now >= item.giveUpAt ? .unresolved("the bars of the window did not come in time") : nil
        }
        let base = max(1, facts.baseIntervalSeconds)
        let length = max(0, (window.closesBy - window.opensAfter).components.seconds)
        let seconds = length / Int64(base) > Self.maximumBars ? max(base, signalSeconds) : base
        let bars = try await market.bars(
            stored.statement.row.instrument,
            intervalSeconds: seconds,
            asOf: now,
            start: window.opensAfter,
            end: window.closesBy
        )
        return Settlement.outcome(
            value: stored.statement.row.value,
            kind: stored.statement.row.kind,
            opensAfter: window.opensAfter,
            closesBy: window.closesBy,
            bars: bars
        )
    }

    private struct Window {
        /// Bars that start later than this count.
        var opensAfter: Timestamp
        var closesBy: Timestamp
    }

    /// Live bars open by the clock on the wall: the first that opens after the prediction was made, and not before its window.
    private func liveWindow(_ stored: StoredPrediction, now: Timestamp) -> Window? {
        let row = stored.statement.row
        guard now >= row.targetTo + .seconds(2) else { return nil }
        return Window(opensAfter: max(stored.entry.madeAt, row.targetFrom - .microseconds(1)), closesBy: row.targetTo)
    }

    /// Bars of a replay keep their old times; nothing of one is known before it is released. Measured on the knowledge clock, a bar therefore opens after
    /// the prediction if nothing of it had been released when that was made. A window that is told in today's time is moved to the bars' time.
    ///
    /// What had been released is looked up in the finest bars: of a coarser one, part may have been known.
    private func replayWindow(_ stored: StoredPrediction, baseSeconds: Int, now: Timestamp) async throws -> Window? {
        let row = stored.statement.row
        func knownEnd(_ moment: Timestamp) async throws -> Timestamp? {
            try await market.lastBar(row.instrument, intervalSeconds: baseSeconds, asOf: moment)?.end
        }
        guard let newest = try await knownEnd(now), let atStart = try await knownEnd(stored.statement.asOf),
            let whenMade = try await knownEnd(stored.entry.madeAt)
        else { return nil }
        let shift = ReplayClock.shift(targetFrom: row.targetFrom, asOf: stored.statement.asOf, knownAtAsOf: atStart)
        let closesBy = row.targetTo + shift
        guard newest >= closesBy else { return nil }
        return Window(opensAfter: max(whenMade, row.targetFrom + shift) - .microseconds(1), closesBy: closesBy)
    }
}
