import Contracts

/// What came of asking a source for some pieces.
struct FetchReport: Sendable {
    /// How often it was asked.
    var requests = 0
    var rows = 0
    var days = ImportOutcome.Days()
    /// Why not everything is there.
    var failure: FetchFailure?

    mutating func add(_ other: FetchReport) {
        requests += other.requests
        rows += other.rows
        days.add(other.days)
        failure = failure ?? other.failure
    }

    /// What it was, in a word.
    var outcome: String {
        if let failure { return failure.code }
        if days.added + days.extended + days.revised > 0 { return "fetched" }
        return rows > 0 || requests == 0 ? Self.unchanged : Self.noData
    }

    /// Nothing new.
    static let unchanged = "unchanged"
    /// Nothing at all.
    static let noData = "no_data"
}

/// Why a source gave nothing.
struct FetchFailure: Error, Sendable, Equatable {
    /// A stable word.
    var code: String
    /// In plain words; never a secret.
    var detail: String
    /// Whether asking again soon may help.
    var isPassing: Bool
    /// Whether every other piece of the same rule would meet the same, or all older ones would.
    var endsTheRun = true

    static func notConfigured(_ source: String) -> FetchFailure {
        FetchFailure(code: "not_configured", detail: "The source \(source) has no settings here; GET /api/sources names them.", isPassing: false)
    }

    static let badRows = "bad_rows"

    init(code: String, detail: String, isPassing: Bool, endsTheRun: Bool = true) {
        self.endsTheRun = endsTheRun
        self.code = code
        self.detail = detail
        self.isPassing = isPassing
    }

    init(_ error: SourceError) {
        code =
            switch error {
            case .notSupported: "not_supported"
            case .beyondReach: "beyond_reach"
            case .refused: "refused"
            case .unavailable: "unavailable"
            case .broken: "broken"
            case .tooLarge, .tooMany: "too_large"
            case .busy: "busy"
            case .limited: "limited"
            }
        detail = error.description
        isPassing = error.isPassing
        endsTheRun =
            switch error {
            case .unavailable, .limited, .busy, .beyondReach, .refused(.unauthorized, _): true
            case .notSupported, .refused, .broken, .tooLarge, .tooMany: false
            }
    }
}

/// What an answer of a source speaks for, and that it may be stored: checked and noted in the transaction that stores it.
struct FetchMark: Sendable, Equatable {
    var rule: KeepRuleID
    /// How the source was told to spell the instrument: a rule that spells it otherwise by now asks another question.
    var sourceSymbol: String
    /// When the rule came to be: what it brings of later times was unknown before.
    var ruleCreatedAt: Timestamp
    /// Bars that start in it were asked for.
    var asked: Range<Timestamp>
    /// Of that, what need not be asked for again.
    var remembered: [Range<Timestamp>]

    init(_ rule: KeepRule, asked: Range<Timestamp>, remembered: [Range<Timestamp>] = []) {
        self.rule = rule.id
        sourceSymbol = rule.sourceSymbol
        ruleCreatedAt = rule.createdAt
        self.asked = asked
        self.remembered = remembered
    }
}

/// Somebody else has stored what an answer speaks for, or the rule is gone or asks otherwise: what came late is dropped.
struct FetchOvertaken: Error {}
