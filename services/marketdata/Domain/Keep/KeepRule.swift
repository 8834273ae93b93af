import Bars
import Contracts

/// Tags a rule that keeps an instrument up to date.
enum KeepRuleTag {}
/// Names a rule that keeps an instrument up to date.
typealias KeepRuleID = ID<KeepRuleTag>

/// Keeps an instrument up to date out of a source, every so often.
struct KeepRule: Sendable {
    /// How often it may be due.
    static let everySeconds = 300...604_800
    /// After a failure that may pass it is tried again soon, then ever more slowly.
    static let firstPauseSeconds = 30
    static let longestPauseSeconds = 3_600
    /// Beside its own length, so long after its end a bar that is missing in an answer may still come.
    static let settlingSeconds = 60

    var id: KeepRuleID
    var instrumentID: InstrumentID
    /// The instrument as it is called here.
    var symbol: String
    /// Name of the exchange calendar.
    var calendar: String
    var assetClass: AssetClass
    var source: String
    /// The instrument as the source spells it.
    var sourceSymbol: String
    var kind: HistoryRequest.Kind
    var everySeconds: Int
    var backfillFrom: Timestamp
    /// The source has nothing older, as far as it has said so.
    var reachFrom: Timestamp?
    var isEnabled: Bool
    /// Bars that start in it were asked for and answered.
    var spokenFor = Stretches()
    var nextDueAt: Timestamp
    var isRunning = false
    /// In a row, those that may pass.
    var failures = 0
    var lastRun: Run?
    var createdAt: Timestamp
    var changedAt: Timestamp

    /// What became of it when it was due last.
    struct Run: Sendable, Equatable {
        var at: Timestamp
        var outcome: String
        var detail: String?
        var daysAdded: Int
        var daysExtended: Int
        var daysRevised: Int
    }

    /// From where on bars are asked for.
    var floor: Timestamp { max(backfillFrom, reachFrom ?? backfillFrom) }

    /// Bars that start before it are over, and whoever has none of them will get none.
    func settled(by now: Timestamp) -> Timestamp { now - .seconds(kind.longestSeconds + Self.settlingSeconds) }

    /// How long to wait after so many failures in a row.
    static func pauseSeconds(failures: Int, everySeconds: Int) -> Int {
        min(firstPauseSeconds << min(max(failures, 1) - 1, 10), longestPauseSeconds, everySeconds)
    }
}

extension HistoryRequest.Kind {
    /// `tick`, or the length of the bars.
    var text: String {
        switch self {
        case .ticks: "tick"
        case .bars(let interval): interval.text
        }
    }

    /// Reads `tick` or `1m`; nothing else.
    init?(text: String) {
        if text == "tick" {
            self = .ticks
        } else if let interval = try? BarInterval(text: text) {
            self = .bars(interval)
        } else {
            return nil
        }
    }

    /// The length of the bars that come to be stored.
    var intervalSeconds: Int {
        switch self {
        case .ticks: 1
        case .bars(let interval): interval.seconds
        }
    }

    /// As long as no bar is: a month may have 31 days, and where clocks are put back a day has an hour more.
    var longestSeconds: Int {
        switch self {
        case .bars(.days(let count)): count * 86_400 + 3_600
        case .bars(.weeks(let count)): count * 604_800 + 3_600
        case .bars(.months(let count)): count * 31 * 86_400 + 3_600
        case .bars(.seconds), .ticks: intervalSeconds
        }
    }

    /// Whether the bars are the source's own.
    var origin: SeriesOrigin { self == .ticks ? .derived : .imported }
}
