import Bars
import Contracts

/// An instrument of a live feed as administrators read it.
struct LiveSubscriptionAnswer: Encodable, Sendable {
    struct Hole: Encodable, Sendable {
        let start: Timestamp
        let end: Timestamp
        /// Still asked for, or lost.
        let state: String
        let reason: String
    }

    let instrument: String
    /// The instrument as the source spells it.
    let symbol: String
    /// What the source streams: `trades`, or the length of its bars.
    let stream: String
    let state: String
    let detail: String
    let stateSince: Timestamp
    /// The end of the last interval that is closed; null before the first.
    let closedThrough: Timestamp?
    /// How long ago that was; null while no session is open.
    let lagSeconds: Double?
    let holes: [Hole]

    init(_ subscription: LiveSubscription, closedThrough: Timestamp?, lagSeconds: Double?, holes: [LiveSubscriptionStore.Hole]) {
        instrument = subscription.symbol
        symbol = subscription.sourceSymbol
        stream = subscription.barSeconds.map { BarInterval(seconds: $0).text } ?? "trades"
        state = subscription.state.rawValue
        detail = subscription.stateDetail
        stateSince = subscription.stateAt
        self.closedThrough = closedThrough
        self.lagSeconds = lagSeconds
        self.holes = holes.map { Hole(start: $0.from, end: $0.to, state: $0.isOpen ? "open" : "lost", reason: $0.reason) }
    }

    private enum CodingKeys: String, CodingKey {
        case instrument, symbol, stream, state, detail, stateSince, closedThrough, lagSeconds, holes
    }

    /// Null is said here: nothing is closed yet, and no session is open.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(instrument, forKey: .instrument)
        try container.encode(symbol, forKey: .symbol)
        try container.encode(stream, forKey: .stream)
        try container.encode(state, forKey: .state)
        try container.encode(detail, forKey: .detail)
        try container.encode(stateSince, forKey: .stateSince)
        try container.encode(closedThrough, forKey: .closedThrough)
        try container.encode(lagSeconds, forKey: .lagSeconds)
        try container.encode(holes, forKey: .holes)
    }
}

/// The instruments of a live feed.
struct LiveSubscriptionsAnswer: Encodable, Sendable {
    let items: [LiveSubscriptionAnswer]
}
