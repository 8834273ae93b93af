import Contracts

/// A replay: stored bars shown again under a symbol of their own, each becoming known at the moment of its release.
struct Replay: Sendable, Equatable {
    /// What it is doing.
    enum State: String, Sendable, Codable, CaseIterable {
        /// Bars are released as the replay's clock passes their ends.
        case running
        /// Nothing is released until it is resumed.
        case paused
        /// All bars were released.
        case finished
        /// Somebody ended it.
        case stopped
    }

    var id: ReplayID
    var instrumentID: InstrumentID
    var symbol: String
    var sourceInstrumentID: InstrumentID
    var sourceSymbol: String
    var number: Int
    var accountID: AccountID
    var state: State
    /// The bars that it releases one by one.
    var baseIntervalSeconds: Int
    /// Recorded seconds a second.
    var speed: Double
    /// Whether a new replay begins when this one has finished.
    var loops: Bool
    /// The recorded time at which it began.
    var startsAt: Timestamp
    /// The recorded time after which nothing is released; nothing means all there is.
    var endsAt: Timestamp?
    /// Corrections recorded later are not seen.
    var revisionsAsOf: Timestamp
    /// Everything that ended by this recorded time has been released.
    var releasedThrough: Timestamp
    var releasedBars: Int64
    var createdAt: Timestamp
}

/// A replay that is to be made.
struct ReplayDraft: Sendable {
    var id: ReplayID
    var instrumentID: InstrumentID
    var sourceInstrumentID: InstrumentID
    var accountID: AccountID
    var baseIntervalSeconds: Int
    var speed: Double
    var loops: Bool
    var startsAt: Timestamp
    var endsAt: Timestamp?
    /// Nothing means those of the moment at which it is made.
    var revisionsAsOf: Timestamp?
    var createdAt: Timestamp
}

/// One release: everything that ended by a recorded time becomes known, and the closes at that time are announced.
struct ReplayStep: Sendable {
    var replayID: ReplayID
    /// Where the replay stood: the step is void if it no longer stands there.
    var from: Timestamp
    var through: Timestamp
    var bars: Int
    /// The watched intervals that close exactly at `through`, each with its bar or none.
    var closes: [Close]

    /// One watched interval that closed.
    struct Close: Sendable {
        var intervalSeconds: Int
        var revision: Int64
        var bar: ClosedBar.Bar?
    }
}
