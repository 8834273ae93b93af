import Contracts

/// What new runs mean for those that have not ended: whom they cancel, whom they end, for whom they wait.
struct RunMeeting: Sendable {
    /// To be asked to stop.
    private(set) var cancelled: [JobID] = []
    /// To be ended here.
    private(set) var ended: [JobID] = []
    /// The runs that each new one waits for.
    private(set) var waits: [JobID: [JobID]] = [:]

    /// - Parameters:
    ///   - made: new runs, those of one schedule in the order in which they begin.
    ///   - open: those that have not ended.
    init(_ made: [OccurrenceMaker.Made], _ open: [ScheduleID: [OpenRun]]) {
        var open = open
        for run in made {
            guard let job = run.occurrence.jobID else { continue }
            let schedule = run.occurrence.scheduleID
            let others = open[schedule] ?? []
            switch run.start {
            case .now: break
            // For all of them, not the last alone: one in between may be cancelled.
            case .afterOthers: waits[job] = others.map(\.id)
            case .cancellingOthers:
                cancelled += others.map(\.id)
                waits[job] = others.filter { $0.standing == .running }.map(\.id)
            case .endingOthers:
                ended += others.map(\.id)
                open[schedule] = []
            }
            open[schedule, default: []].append(OpenRun(id: job, scheduleID: schedule, standing: waits[job] == nil ? .pending : .waiting))
        }
    }
}
