import Bars
import Contracts
import HTTPServing

/// A rule as administrators read it.
struct KeepRuleAnswer: Encodable, Sendable {
    struct Run: Encodable, Sendable {
        let at: Timestamp
        /// `fetched`, `unchanged`, `no_data`, `backfilling`, or why the source gave nothing.
        let outcome: String
        let detail: String?
        let daysAdded: Int
        let daysExtended: Int
        let daysRevised: Int
    }

    let id: KeepRuleID
    let instrument: String
    let source: String
    let sourceSymbol: String
    let interval: String
    let everySeconds: Int
    let backfillFrom: Timestamp
    /// The source has nothing older.
    let reachFrom: Timestamp?
    let enabled: Bool
    /// running, due, waiting or off
    let state: String
    /// The first and last moment that was asked for so far; holes in between are being filled.
    let askedFrom: Timestamp?
    let askedTo: Timestamp?
    let lastRun: Run?
    let failuresInARow: Int
    let nextDueAt: Timestamp?
    let createdAt: Timestamp
    let changedAt: Timestamp

    init(_ rule: KeepRule, now: Timestamp) {
        id = rule.id
        instrument = rule.symbol
        source = rule.source
        sourceSymbol = rule.sourceSymbol
        interval = rule.kind.text
        everySeconds = rule.everySeconds
        backfillFrom = rule.backfillFrom
        reachFrom = rule.reachFrom
        enabled = rule.isEnabled
        state = rule.isRunning ? "running" : !rule.isEnabled ? "off" : rule.nextDueAt <= now ? "due" : "waiting"
        askedFrom = rule.spokenFor.ranges.first?.lowerBound
        askedTo = rule.spokenFor.ranges.last?.upperBound
        lastRun = rule.lastRun.map {
            Run(
                at: $0.at,
                outcome: $0.outcome,
                detail: $0.detail,
                daysAdded: $0.daysAdded,
                daysExtended: $0.daysExtended,
                daysRevised: $0.daysRevised
            )
        }
        failuresInARow = rule.failures
        nextDueAt = rule.isEnabled ? rule.nextDueAt : nil
        createdAt = rule.createdAt
        changedAt = rule.changedAt
    }
}

extension KeepError: ProblemRepresentable {
    /// What clients read of it.
    var problem: Problem {
        switch self {
        case .unknownRule: .notFound(code: "unknown_rule", detail: "There is no such rule.")
        case .ruleExists(let instrument, let source, let interval):
            .conflict(code: "rule_exists", detail: "There is a rule for \(instrument), \(source) and \(interval) already.", field: "instrument")
        case .disabled: .conflict(code: "rule_disabled", detail: "The rule is off: enable it first.", field: "enabled")
        case .unreadable(let interval):
            Problem(status: .internalError, code: "unreadable_rule", detail: "A stored rule has the interval \(interval), which nobody understands.")
        }
    }
}
