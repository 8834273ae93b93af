import Contracts
import ServiceRuntime
import Synchronization

/// Asks marketdata what was known of the instruments of a run's rows.
///
/// Lengths of bars hardly ever change: they are asked for once a minute, and serve for an hour while marketdata is away. What was known at a moment that is
/// past changes only where history comes in for the first time, which counts as known all along: for a minute one answer serves all signals that were due at
/// it, as if they had asked together.
final class KnowledgeLookup: Sendable {
    static let freshNanoseconds: UInt64 = 60_000_000_000
    static let staleNanoseconds: UInt64 = 3_600_000_000_000
    static let maximumInstruments = 10_000
    static let maximumMoments = 10_000

    private struct Moment: Hashable {
        var symbol: String
        var baseSeconds: Int
        var asOf: Timestamp
    }

    private struct Entry {
        var baseSeconds: Int
        var loadedAt: UInt64
    }

    private struct End {
        var moment: Timestamp
        var loadedAt: UInt64
    }

    private let market: any MarketData
    private let time: any TimeSource
    private let known = Mutex<[String: Entry]>([:])
    /// Where the newest bar ended that was known then.
    private let ends = Mutex(RecentlyUsed<Moment, End>(maximumCost: maximumMoments))

    init(market: any MarketData, time: any TimeSource) {
        self.market = market
        self.time = time
    }

    /// What is known of each of these; what could not be found out is left out, and then goes against the provider.
    func knowledge(of symbols: Set<String>, asOf: Timestamp, feed: FeedKind) async -> [String: MarketKnowledge] {
        var found: [String: MarketKnowledge] = [:]
        for symbol in symbols.sorted() {
            guard let baseSeconds = await baseSeconds(of: symbol) else { continue }
            let replay = feed == .replay ? try? await replay(symbol, baseSeconds: baseSeconds, asOf: asOf) : nil
            found[symbol] = MarketKnowledge(baseSeconds: baseSeconds, replay: replay)
        }
        return found
    }

    private func replay(_ symbol: String, baseSeconds: Int, asOf: Timestamp) async throws -> ReplayKnowledge? {
        guard let before = try await end(symbol, baseSeconds: baseSeconds, asOf: asOf) else { return nil }
        let lookedAt = time.now()
        guard let newest = try await market.lastBar(symbol, intervalSeconds: baseSeconds, asOf: lookedAt) else { return nil }
        return ReplayKnowledge(knownAtAsOf: before, knownThrough: newest.end, lookedAt: lookedAt)
    }

    private func end(_ symbol: String, baseSeconds: Int, asOf: Timestamp) async throws -> Timestamp? {
        let moment = Moment(symbol: symbol, baseSeconds: baseSeconds, asOf: asOf)
        // Both clocks are read before the question: an answer is no younger than that, and a moment that is still to come is settled by nothing.
        let (now, loadedAt) = (time.now(), time.monotonicNanoseconds())
        if let known = ends.withLock({ $0.value(moment) }), loadedAt - min(loadedAt, known.loadedAt) < Self.freshNanoseconds { return known.moment }
        guard let end = try await market.lastBar(symbol, intervalSeconds: baseSeconds, asOf: asOf)?.end else { return nil }
        if asOf < now { ends.withLock { _ = $0.insert(End(moment: end, loadedAt: loadedAt), cost: 1, for: moment) } }
        return end
    }

    private func baseSeconds(of symbol: String) async -> Int? {
        let now = time.monotonicNanoseconds()
        let entry = known.withLock { $0[symbol] }
        func age(_ entry: Entry) -> UInt64 { now - min(now, entry.loadedAt) }
        if let entry, age(entry) < Self.freshNanoseconds { return entry.baseSeconds }
        do {
            guard let facts = try await market.instrument(symbol) else { return nil }
            known.withLock { known in
                if known.count >= Self.maximumInstruments { known.removeAll() }
                known[symbol] = Entry(baseSeconds: facts.baseIntervalSeconds, loadedAt: now)
            }
            return facts.baseIntervalSeconds
        } catch {
            return entry.flatMap { age($0) < Self.staleNanoseconds ? $0.baseSeconds : nil }
        }
    }
}
