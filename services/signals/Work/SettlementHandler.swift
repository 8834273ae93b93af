import Contracts
import HTTPServing
import JobWorker

/// Does settlement jobs: one signal each.
struct SettlementHandler: JobHandler {
    let settler: Settler

    var kinds: [String] { [JobKind.settlement.rawValue] }

    func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult {
        guard let signalID = job.spec["signal_id"]?.string.flatMap({ SignalID($0) }) else {
            return .failed(.exception, "the job names no signal")
        }
        do {
            let report = try await settler.settle(signalID)
            return .completed([
                "settled": .integer(Int64(report.settled)), "unresolved": .integer(Int64(report.unresolved)),
                "waiting": .integer(Int64(report.waiting)),
            ])
        } catch {
            return .failed(.infra, "\(error)")
        }
    }
}
