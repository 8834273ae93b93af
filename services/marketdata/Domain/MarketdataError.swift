import Bars
import Contracts

/// Why marketdata refuses; rendered to clients only at the HTTP edge.
enum MarketdataError: Error, Equatable, Sendable {
    /// No instrument has this symbol.
    case unknownInstrument(String)
    /// Another instrument has this symbol.
    case symbolTaken(String)
    /// An instrument was to have a calendar that there is not.
    case unknownCalendar(String)
    /// No calendar has the name that was asked for.
    case calendarNotFound(String)
    /// No dataset has this name.
    case unknownDataset(String)
    /// A value is not one of those that are allowed.
    case invalid(field: String, code: String, detail: String)
    /// The interval is not a multiple of any stored one.
    case intervalNotAvailable(asked: String, stored: [String])
    /// The instrument has no bars of this price.
    case priceNotAvailable(String)
    /// No replay has this id, or it belongs to somebody else.
    case unknownReplay
    /// The replay is not in a state that allows this.
    case replayState(String)
    /// The account runs as many replays as it may.
    case tooManyReplays(Int)
    /// All accounts together run as many replays as there may be.
    case noRoomForReplays
    /// There are no bars from the asked start on.
    case nothingToReplay
    /// A job token does not cover this.
    case outsideJobToken(String)
    /// The answer would be made of more stored bars than one request may read; `affordable` is how many bars it may ask for instead, if any.
    case tooManyBaseRows(interval: String, asked: Int, field: String, maximumRows: Int, affordable: Int)
    /// Too many heavy reads are under way, and this one has waited for its turn.
    case tooManyHeavyReads
    /// A report would span too much; what would be right.
    case rangeTooLong(String)
    /// Days were removed while they were read.
    case daysRemoved(instrument: String)
    /// A stored day cannot be read.
    case damagedChunk(instrument: String, day: CivilDay, reason: String)

    /// A stored day cannot be read, for what was found in it.
    static func damaged(_ key: ChunkKey, of symbol: String, _ error: BarsError) -> MarketdataError {
        .damagedChunk(instrument: symbol, day: key.day, reason: "revision \(key.revision): \(error)")
    }
}
