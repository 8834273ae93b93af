import Contracts

extension NewJob {
    /// What it waits for, each job once: who wants a job completed and ended wants it completed.
    var distinctWaits: [JobDependency] {
        var conditions: [JobID: JobDependency.Condition] = [:]
        var order: [JobID] = []
        for wait in waitsFor {
            if conditions[wait.on] == nil { order.append(wait.on) }
            if conditions[wait.on] != .completed { conditions[wait.on] = wait.condition }
        }
        return order.map { JobDependency(on: $0, condition: conditions[$0] ?? .ended) }
    }

    /// Whether it may wait for a job of that account.
    func mayWait(for owner: AccountID) -> Bool { owner == accountID || owner == .platform }
}

extension JobEnding {
    /// The end of a job that waits for what cannot come any more.
    static func unmeetable(_ job: Job, because other: JobID, _ state: JobState) -> JobEnding {
        JobEnding(job: job, state: .cancelled, errorMessage: "it waited for job \(other) to be completed, which has ended as \(state.rawValue)")
    }
}
