import Contracts
import ServiceRuntime
import Synchronization

/// Reads the logs of jobs for those who listen to them: once for all who have come to the same place, until there is news of the job.
///
/// Whoever listens is woken by the same news and waits at the same place, but for those who have just come or are slow. A reading is forgotten when there is
/// news, so nobody is kept from it; and in any case with the look that all take every two seconds.
final class LogReads: Sendable {
    /// A job and what it printed behind a place; read in this order, so that of an ended job nothing is missing.
    struct Reading: Sendable {
        /// Nil when there is no such job any more.
        let job: Job?
        var logs: [AttemptLog] = []
        /// Whether the log of an ended job was cut.
        var isTruncated = false
    }

    typealias Read = @Sendable (_ job: JobID, _ place: LogPlace?) async throws -> Reading

    private let known = Mutex<[JobID: [LogPlace?: Task<Reading, any Error>]]>([:])
    private let loop: EventLoop
    private let read: Read

    init(loop: EventLoop, read: @escaping Read) {
        self.loop = loop
        self.read = read
    }

    convenience init(_ logs: LogStore, _ store: any SchedulerStore, loop: EventLoop) {
        self.init(loop: loop) { try await LogReads.read($0, after: $1, logs, store) }
    }

    static func read(_ id: JobID, after place: LogPlace?, _ logs: LogStore, _ store: any SchedulerStore) async throws -> Reading {
        guard let job = try await store.job(id) else { return Reading(job: nil) }
        var reading = Reading(job: job, logs: try await logs.attempts(of: id, after: place))
        if job.state.isTerminal { reading.isTruncated = try await store.log(of: id)?.isTruncated ?? false }
        return reading
    }

    /// What a job printed behind a place.
    func reading(of id: JobID, after place: LogPlace?) async throws -> Reading {
        let task = known.withLock { known in
            if let task = known[id]?[place] { return task }
            // Of no listener: others wait for it as well when the first one goes.
            let task = Task(on: loop) { [read] in try await read(id, place) }
            known[id, default: [:]][place] = task
            return task
        }
        do { return try await task.value } catch {
            known.withLock { known in
                if known[id]?[place] == task { known[id]?[place] = nil }
            }
            throw error
        }
    }

    /// There is news of these jobs, or nobody listens any more.
    func forget(_ jobs: some Sequence<JobID>) {
        known.withLock { known in for job in jobs { known[job] = nil } }
    }
}
