import Contracts

/// What a WebSocket of one source says and wants to hear, as a value: messages in, events out. No I/O; there is one for each connection.
protocol FeedDialect: Sendable {
    /// Whether trades of a symbol are numbered without gaps, so that a jump tells of lost ones.
    static var numbersAreDense: Bool { get }
    /// Throws where a symbol cannot be one of this source.
    static func check(_ symbol: String) throws(SourceError)
    /// What to send so that symbols are watched, or watched no more.
    mutating func messages(watching: [String], unwatching: [String]) -> [String]
    /// Whether everything that was asked for so far has been answered.
    var isSettled: Bool { get }
    /// What a message tells. Throws where it is not one that this source would send: the connection cannot be believed any more.
    mutating func take(_ message: JSONValue) throws(SourceError) -> [SourceEvent]
}

/// Where a feed is, and how its connection is kept.
struct FeedSettings: Sendable, Equatable {
    var url: String
    /// How long until everything at the beginning must be agreed on.
    var patience = Duration.seconds(8)
    /// How often it tells its clock at least; nothing where its silence says nothing.
    var heartbeat: Duration?
    var pingAfter = Duration.seconds(15)
    var silenceLimit = Duration.seconds(30)
    /// A connection that old is replaced by a new one before the source ends it; the new one is up before the old one goes.
    var renewAfter: Duration?
    var maximumSymbols: Int
    /// Messages that the source takes from us in a second.
    var messagesPerSecond = 4
    var maximumMessageBytes = 4 << 20
}
