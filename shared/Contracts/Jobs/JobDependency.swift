/// What a job waits for: the end of another job of its account, or of the platform's own.
public struct JobDependency: Sendable, Hashable, Codable {
    /// Which end is meant.
    public enum Condition: String, Sendable, Hashable, Codable, CaseIterable {
        /// The other has to end well; when it cannot any more, the waiting job is cancelled.
        case completed
        /// Any end will do.
        case ended
    }

    /// The job that has to end first; it must exist already, so nothing ever waits for itself.
    public var on: JobID
    /// How it has to end.
    public var condition: Condition

    /// Both fields.
    public init(on job: JobID, condition: Condition = .completed) {
        self.on = job
        self.condition = condition
    }

    /// How many jobs one job may wait for.
    public static let most = 1_000

    /// Stands as the time at which a job is available that still waits for others: later than any that a clock shows.
    public static let blockedUntil = Timestamp(seconds: 253_402_214_400)

    /// Whether a job that has ended so lets the waiting one go.
    public func isMet(by state: JobState) -> Bool {
        switch condition {
        case .completed: state == .completed
        case .ended: state.isTerminal
        }
    }
}
