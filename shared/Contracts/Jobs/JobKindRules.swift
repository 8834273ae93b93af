/// What holds for a kind of job: the one table that a new kind is entered in, beside its handler.
public struct JobKindRules: Sendable, Hashable {
    /// Whose rules these are.
    public let kind: JobKind
    /// The classes that it may be of.
    public let classes: [ResourceClass]
    /// The services that may ask for one; the scheduler makes its own itself.
    public let submitters: [String]
    /// Whether it is an account's own doing: it sees such jobs and may cancel them.
    public let isOfOwners: Bool
    /// Whether another service hears of its end: then that is an event. Of the others only the ledger tells.
    public let isHeardOf: Bool
    /// How long it may run; nil is as long as its class allows.
    public let timeLimitSeconds: Int?
    /// How long it may wait for a worker before the wait counts as a failed attempt.
    public let queueTimeoutSeconds: Int
    /// Members of its spec that differ when the same is asked for again.
    public let moments: [String]

    private init(
        _ kind: JobKind,
        classes: [ResourceClass],
        submitters: [String],
        isOfOwners: Bool = false,
        isHeardOf: Bool = false,
        timeLimitSeconds: Int? = nil,
        queueTimeoutSeconds: Int = 86_400,
        moments: [String] = []
    ) {
        self.kind = kind
        self.classes = classes
        self.submitters = submitters
        self.isOfOwners = isOfOwners
        self.isHeardOf = isHeardOf
        self.timeLimitSeconds = timeLimitSeconds
        self.queueTimeoutSeconds = queueTimeoutSeconds
        self.moments = moments
    }

    private static let ofCode: [ResourceClass] = [.small, .standard, .large, .gpu]

    /// All kinds that are known.
    public static let table: [JobKindRules] = [
        JobKindRules(.signalRun, classes: [.signal], submitters: [], isOfOwners: true, isHeardOf: true, queueTimeoutSeconds: 600),
        // A dry run is made for the moment at which it is asked for, which is another one in the repeat of a request whose answer was lost.
        JobKindRules(
            .dryRun,
            classes: [.signal] + ofCode,
            submitters: ["signals"],
            isOfOwners: true,
            queueTimeoutSeconds: 600,
            moments: ["due_at", "as_of"]
        ),
        // The scheduler makes them of what an account asks to be run of its past.
        JobKindRules(.backfillRun, classes: ofCode, submitters: [], isOfOwners: true),
        JobKindRules(.backtest, classes: ofCode, submitters: ["signals"], isOfOwners: true),
        JobKindRules(.optimisation, classes: ofCode, submitters: ["signals"], isOfOwners: true),
        JobKindRules(.training, classes: ofCode, submitters: ["signals"], isOfOwners: true),
        // Nobody may see, and so call off, the measuring of his own record.
        JobKindRules(.settlement, classes: [.signals], submitters: ["signals"]),
        JobKindRules(.import, classes: [.marketdata], submitters: ["marketdata"]),
        // Bars that are made in advance are of no use later: somebody has asked for them by then, or nobody does. Their key names the revisions that they
        // are made of.
        JobKindRules(
            .resampleAll,
            classes: [.marketdata],
            submitters: ["marketdata"],
            timeLimitSeconds: 600,
            queueTimeoutSeconds: 600,
            moments: ["as_of"]
        ),
        JobKindRules(.tableConversion, classes: [.standard], submitters: ["marketdata"]),
        JobKindRules(.noop, classes: ResourceClass.allCases, submitters: ["signals", "marketdata"]),
    ]

    private static let byKind = Dictionary(uniqueKeysWithValues: table.map { ($0.kind, $0) })

    /// The rules of a kind. One that is not known, because whoever asks for it is newer, may be asked for by all, is shown to nobody, and is heard of.
    public static func of(_ kind: JobKind) -> JobKindRules {
        byKind[kind] ?? JobKindRules(kind, classes: ResourceClass.allCases, submitters: ["signals", "marketdata"], isHeardOf: true)
    }
}
