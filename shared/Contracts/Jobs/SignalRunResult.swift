/// What a prediction says: one number, or numbers by probability.
public enum PredictionValue: Sendable, Hashable, Codable {
    /// One number.
    case single(DecimalText)
    /// Numbers by probability, such as `{"0.1": "610", "0.9": "620"}`.
    case quantiles([String: DecimalText])

    /// Reads a decimal text or an object of them.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let values = try? container.decode([String: DecimalText].self) {
            self = .quantiles(values)
        } else {
            self = .single(try container.decode(DecimalText.self))
        }
    }

    /// Writes the same.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .single(let value): try container.encode(value)
        case .quantiles(let values): try container.encode(values)
        }
    }
}

/// One prediction of a run.
public struct PredictionRow: Sendable, Hashable, Codable {
    /// Its number within the run, from 0.
    public var row: Int
    /// The instrument's symbol.
    public var instrument: String
    /// The kind of statement.
    public var kind: OutputKind
    /// The statement.
    public var value: PredictionValue
    /// Start of the time that it is about.
    public var targetFrom: Timestamp
    /// End of the time that it is about.
    public var targetTo: Timestamp

    /// All fields.
    public init(row: Int, instrument: String, kind: OutputKind, value: PredictionValue, targetFrom: Timestamp, targetTo: Timestamp) {
        self.row = row
        self.instrument = instrument
        self.kind = kind
        self.value = value
        self.targetFrom = targetFrom
        self.targetTo = targetTo
    }
}

/// How strong the sandbox of a run was.
public enum SandboxLevel: String, Sendable, Hashable, Codable {
    /// With cgroups.
    case full
    /// With resource limits inside a user namespace.
    case reduced
}

/// Result of the kinds `signal_run` and `dry_run`.
public struct SignalRunResult: Sendable, Hashable, Codable {
    /// The predictions.
    public var rows: [PredictionRow]
    /// Hash of the Python environment.
    public var envSHA256: SHA256Digest
    /// Hash of the revisions of the bars that were served.
    public var dataSHA256: SHA256Digest
    /// What was known when it ran.
    public var asOf: Timestamp
    /// Last known price by symbol.
    public var referencePrices: [String: Price]
    /// The interpreter's version.
    public var python: String
    /// How strong the sandbox was.
    public var sandboxLevel: SandboxLevel
    /// Time by stage, in milliseconds.
    public var stagesMs: [String: Double]
    /// What the code asked for while it ran, in that order; nil when nothing.
    public var reads: [BarsRead]?

    /// All fields.
    public init(
        rows: [PredictionRow],
        envSHA256: SHA256Digest,
        dataSHA256: SHA256Digest,
        asOf: Timestamp,
        referencePrices: [String: Price],
        python: String,
        sandboxLevel: SandboxLevel,
        stagesMs: [String: Double],
        reads: [BarsRead]? = nil
    ) {
        self.rows = rows
        self.envSHA256 = envSHA256
        self.dataSHA256 = dataSHA256
        self.asOf = asOf
        self.referencePrices = referencePrices
        self.python = python
        self.sandboxLevel = sandboxLevel
        self.stagesMs = stagesMs
        self.reads = reads
    }
}
