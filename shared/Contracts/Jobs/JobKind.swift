/// What a job does; open, because a new kind is one handler and one table entry, and an older service must be able to pass it on.
public struct JobKind: RawRepresentable, Sendable, Hashable, Codable, LosslessStringConvertible {
    /// The name on the wire and in the ledger.
    public let rawValue: String

    /// Takes any name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Takes any name.
    public init(_ description: String) {
        self.rawValue = description
    }

    /// The name.
    public var description: String { rawValue }

    /// Runs a published signal once, for the record.
    public static let signalRun = JobKind("signal_run")
    /// Runs a signal's code once, for its author only.
    public static let dryRun = JobKind("dry_run")
    /// Runs a signal's code as of a moment of the past: for its author, and for no record.
    public static let backfillRun = JobKind("backfill_run")
    /// Resolves predictions whose outcome window has closed.
    public static let settlement = JobKind("settlement")
    /// Imports bars from a source.
    public static let `import` = JobKind("import")
    /// Makes the answers for the standard intervals of a stretch that somebody looks at, before they are asked for.
    public static let resampleAll = JobKind("resample_all")
    /// Turns an uploaded file of a foreign format into text that market data reads.
    public static let tableConversion = JobKind("table_conversion")
    /// Runs a strategy over the past.
    public static let backtest = JobKind("backtest")
    /// Looks for a strategy's best parameters: a parent whose children are chunks of trials.
    public static let optimisation = JobKind("optimisation")
    /// Fits a model.
    public static let training = JobKind("training")
    /// Does nothing, for benchmarks.
    public static let noop = JobKind("noop")

    /// Kinds that are an account's own doing: it sees them and may cancel them. All others are the platform's work, whoever's account they are done for:
    /// above all nobody may call off the measuring of his own record.
    public static let ofOwners: [JobKind] = JobKindRules.table.filter(\.isOfOwners).map(\.kind)
    /// Kinds whose spec is that of a run of a signal's code.
    public static let ofRuns: [JobKind] = [.signalRun, .dryRun, .backfillRun]
}
