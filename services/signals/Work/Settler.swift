import Contracts
import ServiceRuntime

/// Finds out what really happened in the windows of a signal's predictions.
struct Settler: Sendable {
    /// With so many instruments in trouble it is marketdata that is, and the rest can wait for the next pass.
    static let maximumInstrumentsInTrouble = 3

    let store: any SignalsStore
    let versions: VersionCache
    let market: any MarketData
    let time: any TimeSource

    /// What one pass did.
    struct Report: Sendable, Hashable {
        var settled = 0
        var unresolved = 0
        var waiting = 0
    }

    /// Looks at all predictions of the signal that are due to be looked at.
    ///
    /// What is found out is stored whatever becomes of the others: trouble with one prediction puts off that one and those of the same instrument, and is
    /// thrown when the rest is done.
    func settle(_ signalID: SignalID) async throws -> Report {
        var report = Report()
        let now = time.now()
        let pending = try await store.pendingOutcomes(signalID, now: now, limit: 200)
        guard !pending.isEmpty else { return report }
        var pass = SettlementPass(market: market, signalSeconds: try await ownBarSeconds(of: signalID), now: now)
        var outcomes: [Int64: SettledOutcome] = [:]
        var again: [Int64: Timestamp] = [:]
        var troubles: [String: any Error] = [:]
        for item in pending where troubles.count < Self.maximumInstrumentsInTrouble {
            let stored = item.prediction
            let symbol = stored.statement.row.instrument
            var realised: RealisedOutcome?
            if troubles[symbol] == nil {
                do {
                    realised = try await pass.outcome(of: item)
                } catch {
                    try Task.checkCancellation()
                    troubles[symbol] = error
                }
            }
            if let realised {
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
                again[stored.entry.seq] = Settlement.again(for: stored.statement, madeAt: stored.entry.madeAt, now: now)
                report.waiting += 1
            }
        }
        try await store.settle(signalID, outcomes: outcomes, again: again)
        if let trouble = troubles.min(by: { $0.key < $1.key }) { throw trouble.value }
        return report
    }

    private func ownBarSeconds(of signalID: SignalID) async throws -> Int {
        guard let signal = try await store.signal(signalID), let versionID = signal.publishedVersionID,
            let version = try await versions.version(versionID)
        else { return 60 }
        return BarInterval(version.outcomeInterval)?.seconds ?? 60
    }
}
