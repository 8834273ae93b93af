import Contracts

/// How many dry runs an account may have.
struct DryRunLimits: Sendable, Hashable {
    /// Not ended yet.
    var open = 3
    /// Begun within a minute.
    var perMinute = 10

    /// A place without a job for this long is nobody's any more: whoever took it has gone before the job was made.
    static let unusedPlace = Duration.seconds(30)
    static let window = Duration.seconds(60)

    /// Whether one more place may be taken besides these.
    func decision(on places: [DryRunPlace], now: Timestamp) -> DryRunDecision {
        let open = places.filter { $0.endedAt == nil && ($0.jobID != nil || $0.takenAt > now - Self.unusedPlace) }
        if open.count >= self.open { return .tooManyOpen(jobs: open.compactMap(\.jobID)) }
        let recent = places.map(\.takenAt).filter { $0 > now - Self.window }.sorted()
        guard recent.count >= perMinute else { return .admitted }
        return .tooManyRecently(until: recent[recent.count - perMinute] + Self.window)
    }
}

/// What was taken for one request for a dry run.
struct DryRunPlace: Sendable, Hashable {
    var request: String
    var takenAt: Timestamp
    var jobID: JobID?
    var endedAt: Timestamp?
}

/// Whether a dry run may begin.
enum DryRunDecision: Sendable, Hashable {
    case admitted
    /// These had not ended as far as is known; the ledger of jobs may know more.
    case tooManyOpen(jobs: [JobID])
    /// A place comes free at the moment.
    case tooManyRecently(until: Timestamp)
}
