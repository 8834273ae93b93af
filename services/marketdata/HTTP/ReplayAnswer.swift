import Contracts

/// A replay as clients read it.
struct ReplayAnswer: Encodable, Sendable {
    let id: ReplayID
    let instrument: String
    let source: String
    let state: String
    let intervalSeconds: Int
    let speed: DecimalText?
    let loop: Bool
    let start: Timestamp
    let end: Timestamp?
    let releasedThrough: Timestamp
    let releasedBars: Int64
    let createdAt: Timestamp
    /// So that nobody takes it for a live market.
    let notice = "replayed, outcome publicly known"

    init(_ replay: Replay) {
        id = replay.id
        instrument = replay.symbol
        source = replay.sourceSymbol
        state = replay.state.rawValue
        intervalSeconds = replay.baseIntervalSeconds
        speed = DecimalText(replay.speed == replay.speed.rounded() ? "\(Int64(replay.speed))" : "\(replay.speed)")
        loop = replay.loops
        start = replay.startsAt
        end = replay.endsAt
        releasedThrough = replay.releasedThrough
        releasedBars = replay.releasedBars
        createdAt = replay.createdAt
    }
}
