import Contracts
import HTTPServing

/// Finds out where the bars of a version's instruments come from.
struct InstrumentDirectory: Sendable {
    let store: any SignalsStore
    let market: any MarketData

    /// `replay` if any instrument is a replay: one look at replayed bars taints the prediction. Refuses instruments that do not exist.
    func feed(of version: SignalVersion) async throws -> FeedKind {
        let known = try await store.instruments(symbols: version.instruments)
        var feed = FeedKind.live
        for symbol in version.instruments {
            if try await self.feed(of: symbol, known: known[symbol]) != .live { feed = .replay }
        }
        return feed
    }

    private func feed(of symbol: String, known: KnownInstrument?) async throws -> FeedKind {
        if let known {
            guard known.active else { throw refusal("inactive_instrument", symbol, "The instrument \(symbol) is no longer served.") }
            return known.feed
        }
        guard let facts = try await market.instrument(symbol) else {
            throw refusal("unknown_instrument", symbol, "There is no instrument \(symbol).")
        }
        return facts.feed
    }

    private func refusal(_ code: String, _ symbol: String, _ detail: String) -> Problem {
        .unprocessable(code: code, detail: detail, field: ProjectFile.manifest)
    }
}
