import Contracts
import HTTPServing
import ServiceRuntime
import Synchronization

/// Which Pythons the executors have, as the scheduler knows it; asked when a version comes, and remembered for some seconds; that nobody
/// knows too.
///
/// Claims do not look at Pythons, so a version is held to what all executors have that may be given one of its runs.
final class PythonDirectory: Sendable {
    /// Executors report every ten seconds: what is younger than this is no older than their own word.
    static let memory: UInt64 = 5_000_000_000
    private static let deadline = Duration.seconds(2)

    private let scheduler: ServiceClient
    private let time: any TimeSource
    private let known = Mutex<(workers: [WorkerReport], at: UInt64)?>(nil)
    private let logger = Logger("pythons")

    init(scheduler: ServiceClient, time: any TimeSource) {
        self.scheduler = scheduler
        self.time = time
    }

    /// The Pythons of each executor that may be given a run of a class: a scheduled one, which waits in the class `signal`, or a dry one or one of a backfill.
    /// Empty when no such executor is up or the scheduler does not answer. Then nobody knows, and nothing is refused for it.
    func present(for resourceClass: ResourceClass) async -> [[WorkerPython]] {
        await workers().filter { $0.mayRunVersions(of: resourceClass) }.map(\.pythons)
    }

    private func workers() async -> [WorkerReport] {
        let now = time.monotonicNanoseconds()
        if let known = known.withLock({ $0 }), now < known.at + Self.memory { return known.workers }
        do {
            let response = try await scheduler.send(.get, "/internal/v1/workers", isIdempotent: true, deadline: Self.deadline)
            let found = try response.json(WorkersAnswer.self).workers.map(\.report).filter { !$0.pythons.isEmpty }
            known.withLock { $0 = (found, now) }
            return found
        } catch {
            logger.info("nobody says which Pythons there are", ["error": .string("\(error)")])
            // From now, not from before the wait: the next uploads do not wait for it as well.
            let given = time.monotonicNanoseconds()
            known.withLock { $0 = ([], given) }
            return []
        }
    }
}

extension [WorkerPython] {
    /// The series in an order that people expect, those of other implementations last.
    var seriesText: String {
        func key(_ series: String) -> (Int, Int) { (series.hasPrefix("3.") ? 0 : 1, Int(series.split(separator: ".").last ?? "") ?? 0) }
        return Set(map(\.series)).sorted { key($0) < key($1) }.joined(separator: ", ")
    }
}
