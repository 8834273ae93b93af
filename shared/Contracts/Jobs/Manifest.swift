/// What `auspex.toml` says of a signal's code.
public struct Manifest: Sendable, Hashable, Codable {
    /// What the author calls it.
    public var name: String
    /// `module:function`, such as `app:predict`.
    public var entryPoint: String
    /// The Python that it wants, such as `3.11`.
    public var python: String
    /// Which slots a run competes for.
    public var `class`: ResourceClass
    /// How long after the due time a prediction still counts as on time, in seconds.
    public var deadlineSeconds: Int
    /// When it runs.
    public var schedule: Cadence
    /// What becomes of due times that meet a run, come late or lie outside its bounds; absent in JSON where all of it is the default.
    public var policy: SchedulePolicy
    /// The bars that it reads.
    public var inputs: [ManifestInput]
    /// What it gives.
    public var output: ManifestOutput
    /// The author's own settings, handed through.
    public var parameters: JSONValue

    /// All fields; the usual ones have the defaults of `auspex.toml`.
    public init(
        name: String,
        entryPoint: String = "app:predict",
        python: String = "3.11",
        class: ResourceClass = .small,
        deadlineSeconds: Int = 60,
        schedule: Cadence,
        policy: SchedulePolicy = SchedulePolicy(),
        inputs: [ManifestInput],
        output: ManifestOutput,
        parameters: JSONValue = .object([:])
    ) {
        self.name = name
        self.entryPoint = entryPoint
        self.python = python
        self.class = `class`
        self.deadlineSeconds = deadlineSeconds
        self.schedule = schedule
        self.policy = policy
        self.inputs = inputs
        self.output = output
        self.parameters = parameters
    }
}

/// Bars that a signal reads.
public struct ManifestInput: Sendable, Hashable, Codable {
    /// The instrument's symbol.
    public var instrument: String
    /// The bar length, such as `15s` or `1d`.
    public var interval: String
    /// How many bars back.
    public var lookback: Int

    /// All fields.
    public init(instrument: String, interval: String, lookback: Int) {
        self.instrument = instrument
        self.interval = interval
        self.lookback = lookback
    }
}

/// What kind of statement a prediction is.
public enum OutputKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// −1, 0 or 1.
    case direction
    /// From 0 to 1 that it rises.
    case probability
    /// A price.
    case price
    /// A relative change.
    case `return`
    /// Values by probability.
    case quantiles
}

/// What a signal gives.
public struct ManifestOutput: Sendable, Hashable, Codable {
    /// The kind of statement.
    public var kind: OutputKind
    /// The instrument that it is about.
    public var instrument: String
    /// How far ahead, in seconds.
    public var horizonSeconds: Int
    /// Rows per run at most.
    public var maximumRows: Int

    /// All fields.
    public init(kind: OutputKind, instrument: String, horizonSeconds: Int, maximumRows: Int = 1) {
        self.kind = kind
        self.instrument = instrument
        self.horizonSeconds = horizonSeconds
        self.maximumRows = maximumRows
    }
}
