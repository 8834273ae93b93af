/// What became of a due time.
public enum OccurrenceOutcome: String, Sendable, Hashable, Codable, CaseIterable {
    /// Claimable within a second of the due time.
    case fired
    /// Claimable later than that, within the catch-up window.
    case late
    /// Not within the catch-up window.
    case missed
    /// Left out on purpose.
    case skipped
    /// Fired, and the job ended failed.
    case failed
}
