import Contracts
import Postgres
import ServiceRuntime
import Synchronization

/// Writes jobs that are asked for at the same time in one statement: one commit for all of them, and no wait when only one is asked for. Keeps queues
/// within their limits and priorities within their caps.
final class JobIntake: Sendable {
    private struct Waiting: Sendable {
        let jobs: [NewJob]
        let continuation: CheckedContinuation<[Insertion], any Error>
    }

    private struct State {
        var waiting: [Waiting] = []
        var isWriting = false
    }

    private let store: any SchedulerStore
    private let loop: EventLoop
    private let hint: @Sendable (ResourceClass) -> Void
    private let gate: QueueGate
    private let state = Mutex(State())
    static let batch = 500

    init(
        store: any SchedulerStore,
        time: any TimeSource = SystemTimeSource(),
        loop: EventLoop,
        hint: @escaping @Sendable (ResourceClass) -> Void
    ) {
        self.store = store
        self.loop = loop
        self.hint = hint
        gate = QueueGate(store: store, time: time)
    }

    /// Writes one job; `roles` are of who asked for it, nil when the calling service itself wants it.
    func insert(_ job: NewJob, roles: [String]? = nil) async throws -> Insertion { try await insert([job], roles: [roles])[0] }

    /// Writes jobs that belong to one request, at most ``batch``, in one transaction with each other.
    func insert(_ jobs: [NewJob], roles: [[String]?]) async throws -> [Insertion] {
        if jobs.isEmpty { return [] }
        let capped = try await capped(jobs, roles)
        return try await withCheckedThrowingContinuation { continuation in
            let mustWrite = state.withLock { state -> Bool in
                state.waiting.append(Waiting(jobs: capped, continuation: continuation))
                if state.isWriting { return false }
                state.isWriting = true
                return true
            }
            if mustWrite { Task(on: EventLoop.current ?? loop) { await self.write() } }
        }
    }

    /// Jobs of one request that is written elsewhere, with priorities that they may have, and what their accounts may have open. Such a request brings many
    /// jobs at once and does not take turns with the others, so the store always counts for it, and what it brings counts for those that come after it.
    func withinCaps(_ jobs: [NewJob], roles: [String]?) async throws -> (jobs: [NewJob], limits: [AccountID: Int]) {
        let capped = try await capped(jobs, jobs.map { _ in roles })
        let limits = try await gate.limits(for: jobs, always: true)
        gate.noteWritten(jobs)
        return (capped, limits)
    }

    private func capped(_ jobs: [NewJob], _ roles: [[String]?]) async throws -> [NewJob] {
        let plans = try await gate.priorityCaps(of: Set(jobs.map(\.accountID)))
        return zip(jobs, roles).map { job, roles in
            var job = job
            job.priority = PriorityCap.priority(asked: job.priority, account: job.accountID, roles: roles, plan: plans[job.accountID] ?? nil)
            return job
        }
    }

    private func write() async {
        while true {
            let batch = state.withLock { state -> [Waiting] in
                var jobs = 0
                let batch = Array(
                    state.waiting.prefix { waiting in
                        defer { jobs += waiting.jobs.count }
                        return jobs == 0 || jobs + waiting.jobs.count <= Self.batch
                    }
                )
                state.waiting.removeFirst(batch.count)
                if batch.isEmpty { state.isWriting = false }
                return batch
            }
            if batch.isEmpty { return }
            await write(batch)
        }
    }

    private func write(_ batch: [Waiting]) async {
        do {
            let jobs = batch.flatMap(\.jobs)
            let insertions = try await store.insert(jobs, queueLimits: try await gate.limits(for: jobs))
            gate.noteWritten(jobs)
            var rest = insertions[...]
            for waiting in batch {
                waiting.continuation.resume(returning: Array(rest.prefix(waiting.jobs.count)))
                rest = rest.dropFirst(waiting.jobs.count)
            }
            for resourceClass in Set(jobs.filter { $0.availableAt == nil }.map(\.resourceClass)) { hint(resourceClass) }
        } catch {
            // One of them may be at fault, or collide with what another replica writes: each by itself, so that it fails alone. A store that is
            // away refuses all of them at once: one after the other would wait for it as many times.
            let mayPassAlone = (error as? PostgresError).map { $0.isRefusalOfData || $0.isRetryable } ?? false
            guard batch.count > 1, mayPassAlone else {
                for waiting in batch { waiting.continuation.resume(throwing: error) }
                return
            }
            for waiting in batch { await write([waiting]) }
        }
    }
}
