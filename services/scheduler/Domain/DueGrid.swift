internal import Contracts

/// The due times of a schedule, as a grid that exists by itself: no due time depends on when the one before it ran.
enum DueGrid: Sendable {
    /// Every so many seconds of absolute time, counted from 1970 UTC: hourly is on the hour.
    case interval(seconds: Int)
    /// By cron and zone.
    case cron(CronSchedule)

    /// The first due time after a moment; nil when none comes.
    func next(after moment: Timestamp) -> Timestamp? {
        switch self {
        case .interval(let seconds):
            let floored = moment.floored(to: .seconds(seconds))
            return floored + .seconds(seconds)
        case .cron(let schedule):
            return schedule.next(after: moment)
        }
    }

    /// The due times after `start` up to and including `end`, at most `limit` of them, earliest first.
    func points(after start: Timestamp, through end: Timestamp, limit: Int) -> [Timestamp] {
        var points: [Timestamp] = []
        var moment = start
        while points.count < limit, let due = next(after: moment), due <= end {
            points.append(due)
            moment = due
        }
        return points
    }

    /// The time to the due time after `due`: what "one interval" means at that point.
    func step(at due: Timestamp) -> Duration {
        switch self {
        case .interval(let seconds): return .seconds(seconds)
        case .cron(let schedule): return schedule.next(after: due).map { $0 - due } ?? .seconds(86_400)
        }
    }
}
