import Contracts

/// How long jobs may take, wait and be held.
enum JobLimits {
    /// A worker that is silent for this long has lost its jobs.
    static let leaseSeconds = 30

    /// Attempts of a job that says nothing of it.
    static let maximumAttempts = 3

    /// How long the code of a job may run. A signal's run has the limit of the class that its manifest asks for; the class `signal` only says
    /// which slots it takes.
    static func timeLimitSeconds(resourceClass: ResourceClass, kind: JobKind, spec: JSONValue, classes: ResourceClasses = .standard) -> Int {
        if let limit = JobKindRules.of(kind).timeLimitSeconds { return limit }
        var effective = resourceClass
        if JobKind.ofRuns.contains(kind), let name = spec["manifest"]?["class"]?.string, let wanted = ResourceClass(rawValue: name) {
            effective = wanted
        }
        return switch effective {
        case .marketdata, .signals: 3_600
        default: classes[effective].seconds
        }
    }

    /// How long a job may wait for a worker before the wait itself counts as a failed attempt.
    static func queueTimeoutSeconds(kind: JobKind) -> Int { JobKindRules.of(kind).queueTimeoutSeconds }

    /// How long a job token outlives its job's time limit.
    static let tokenGraceSeconds = 600
}
