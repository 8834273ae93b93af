import Bars
import Contracts

/// Where market data comes from: one type for each vendor or exchange, all behind this.
protocol Source: Sendable {
    /// What it is, and what may be done with it.
    var description: SourceDescription { get }

    /// How it has been doing.
    func health() async -> SourceHealth

    /// Bars of the past as an import of a file would give them; nothing where the source has none in the range. Throws `SourceError`.
    ///
    /// An answer is whole or it is an error: one that broke off is never given, and no bar that still grows.
    func history(_ request: HistoryRequest) async throws -> ImportedFile?
}

/// A source that also tells what happens while it happens.
protocol StreamingSource: Source {
    /// A stream without symbols yet; nothing is connected before it runs.
    func stream(_ kind: StreamKind) throws -> any SourceStream
}

/// A question for the past.
struct HistoryRequest: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        /// Trades, put together into bars of one second.
        case ticks
        /// The source's own bars.
        case bars(BarInterval)
    }

    /// The instrument as the source spells it.
    var symbol: String
    /// The instrument as it is called here.
    var instrument: String
    /// Where its sessions are; guessed from the name where nobody says.
    var assetClass: AssetClass?
    var calendar: ExchangeCalendar?
    var kind: Kind
    /// Bars that start in it are asked for; what is not over yet is left out.
    var range: Range<Timestamp>
}

/// What `GET /api/sources` says of a source.
struct SourceDescription: Sendable, Equatable {
    /// What a source takes, as far as it says.
    struct Limits: Sendable, Equatable {
        var requestsPerSecond: Int?
        var concurrentRequests: Int?
        /// How many days back ticks and the finest bars reach.
        var fineHistoryDays: Int?
        /// The rest, in plain words.
        var notes: [String] = []
    }

    /// A short word for paths and settings.
    var id: String
    var name: String
    /// Whose the data is, and what one may do with it.
    var licence: String
    var assetClasses: [AssetClass]
    /// Base intervals of its history, `tick` for trades.
    var intervals: [String]
    var streams: Bool
    var limits: Limits
}

/// How a source has been doing.
struct SourceHealth: Sendable, Equatable {
    enum State: String, Sendable {
        /// Its settings are absent.
        case notConfigured = "not_configured"
        /// Nothing was asked of it yet.
        case unused
        case healthy
        case failing
    }

    var state: State
    /// In a few words, why; never a secret.
    var detail: String
    var lastAnswerAt: Timestamp?
    var lastFailureAt: Timestamp?
}

/// Why a source did not answer.
enum SourceError: Error, Sendable, Equatable, CustomStringConvertible {
    enum Refusal: String, Sendable { case syntax, unauthorized, other }

    /// The source has no such thing: an interval, a symbol that cannot be.
    case notSupported(String)
    /// Older than the source keeps.
    case beyondReach(String)
    /// The source understood and said no.
    case refused(Refusal, String)
    /// There is no connection to it, or it is away behind its own client.
    case unavailable(String)
    /// The answer broke off, or is not what was asked for; none of it is used.
    case broken(String)
    /// The answer is larger than is taken.
    case tooLarge(maximumBytes: Int)
    /// There are more rows in the range than are taken at once.
    case tooMany(maximumRows: Int)
    /// Too many requests wait already.
    case busy
    /// The source wants no request before that moment.
    case limited(String, until: Timestamp)

    /// Whether asking again later may help.
    var isPassing: Bool {
        switch self {
        case .unavailable, .broken, .busy, .limited: true
        case .notSupported, .beyondReach, .refused, .tooLarge, .tooMany: false
        }
    }

    var description: String {
        switch self {
        case .notSupported(let what): "not supported: \(what)"
        case .beyondReach(let what): "out of reach: \(what)"
        case .refused(let kind, let text): "refused (\(kind.rawValue)): \(text)"
        case .unavailable(let why): "unavailable: \(why)"
        case .broken(let why): "a broken answer: \(why)"
        case .tooLarge(let maximumBytes): "the answer has more than \(maximumBytes) bytes"
        case .tooMany(let maximumRows): "more than \(maximumRows) rows at once; ask for a shorter range"
        case .busy: "too many requests wait"
        case .limited(let why, let until): "limited: \(why); not before \(until)"
        }
    }
}
