import Contracts
import Schedules

/// A run of a schedule that has not ended.
struct OpenRun: Sendable, Hashable {
    /// Who has it.
    enum Standing: Sendable, Hashable {
        /// It waits for the end of others.
        case waiting
        /// Nobody yet.
        case pending
        /// A worker.
        case running
    }

    let id: JobID
    let scheduleID: ScheduleID
    let standing: Standing
}

extension OpenRuns {
    init(_ runs: [OpenRun]) {
        for run in runs {
            switch run.standing {
            case .waiting: waiting += 1
            case .pending: pending += 1
            case .running: running += 1
            }
        }
    }
}

extension SchedulerTransaction {
    /// The open runs of schedules by schedule; those that a rule may end or cancel are held as they are until the commit.
    func openRuns(of schedules: [Schedule]) async throws -> [ScheduleID: [OpenRun]] {
        var looked: [ScheduleID] = []
        var held: [ScheduleID] = []
        for schedule in schedules {
            switch schedule.publication?.manifest.policy.overlap ?? .skip {
            case .allowAll: break
            case .skip, .bufferOne, .bufferAll: looked.append(schedule.id)
            case .cancelOther, .terminateOther: held.append(schedule.id)
            }
        }
        var runs: [OpenRun] = []
        if !looked.isEmpty { runs += try await openRuns(among: looked, locked: false) }
        if !held.isEmpty { runs += try await openRuns(among: held, locked: true) }
        return Dictionary(grouping: runs, by: \.scheduleID)
    }

    /// What is known of the markets that schedules follow or keep to.
    func sessions(of schedules: [Schedule]) async throws -> [String: MarketSessions] {
        let markets = Set(schedules.compactMap(\.market))
        return markets.isEmpty ? [:] : try await sessions(of: markets)
    }
}
