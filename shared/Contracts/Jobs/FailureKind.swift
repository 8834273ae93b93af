/// Whose fault a failed attempt was: ours is retried, the code's is not.
public enum FailureKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// Our machinery failed.
    case infra
    /// The worker's lease ran out.
    case lostWorker = "lost_worker"
    /// Nobody claimed it in time.
    case queueTimeout = "queue_timeout"
    /// The code raised.
    case exception
    /// The code's rows do not fit its manifest.
    case invalidOutput = "invalid_output"
    /// The code needed more memory than its class has.
    case outOfMemory = "out_of_memory"
    /// The code ran longer than its class may.
    case timeLimit = "time_limit"
    /// The code tried what it may not.
    case policy

    /// Whether another attempt is made.
    public var isRetried: Bool {
        switch self {
        case .infra, .lostWorker, .queueTimeout: true
        case .exception, .invalidOutput, .outOfMemory, .timeLimit, .policy: false
        }
    }
}
