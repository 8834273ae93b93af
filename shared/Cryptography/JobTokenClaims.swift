public import Contracts

/// The claims that bound what one attempt of one job may read: these files, these instruments, nothing later than `asOf`.
public struct JobTokenClaims: TokenClaims, Hashable {
    /// `job+jwt`
    public static let tokenType = "job+jwt"
    /// The only issuer of job tokens.
    public static let issuer = "scheduler"
    /// The audience of job tokens.
    public static let audience = "auspex-job"

    /// The job.
    public var jobID: JobID
    /// The attempt, which is also the fencing token.
    public var attemptID: AttemptID
    /// The job's kind, for example `signal_run`.
    public var kind: String
    /// The signal whose code runs, if any.
    public var signalID: SignalID?
    /// The version of the code that runs, if any.
    public var codeSHA256: SHA256Digest?
    /// The blobs that may be read.
    public var files: [SHA256Digest]
    /// The symbols whose bars may be read.
    public var instruments: [String]
    /// The knowledge time: no bar that became known later may be read.
    public var asOf: Timestamp
    /// `iss`
    public var issuer: String
    /// `aud`
    public var audience: String
    /// `iat`, seconds since 1970.
    public var issuedAt: Int64
    /// `exp`, seconds since 1970.
    public var expiresAt: Int64

    /// Claims that start now and last until the attempt's lease could last.
    public init(
        jobID: JobID,
        attemptID: AttemptID,
        kind: String,
        signalID: SignalID?,
        codeSHA256: SHA256Digest?,
        files: [SHA256Digest],
        instruments: [String],
        asOf: Timestamp,
        now: Timestamp,
        lifetimeSeconds: Int64
    ) {
        self.jobID = jobID
        self.attemptID = attemptID
        self.kind = kind
        self.signalID = signalID
        self.codeSHA256 = codeSHA256
        self.files = files
        self.instruments = instruments
        self.asOf = asOf
        self.issuer = Self.issuer
        self.audience = Self.audience
        self.issuedAt = now.seconds
        self.expiresAt = now.seconds + lifetimeSeconds
    }

    enum CodingKeys: String, CodingKey {
        case jobID = "job_id"
        case attemptID = "attempt_id"
        case kind
        case signalID = "signal_id"
        case codeSHA256 = "code_sha256"
        case files, instruments
        case asOf = "as_of"
        case issuer = "iss"
        case audience = "aud"
        case issuedAt = "iat"
        case expiresAt = "exp"
    }
}
