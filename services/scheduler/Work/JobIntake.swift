import Contracts
import Postgres
import ServiceRuntime
import Synchronization

/// Writes jobs that are asked for at the same time in one statement: one commit for all of them, and no wait when only one is asked for.
final class JobIntake: Sendable {
    private struct Waiting: Sendable {
        let job: NewJob
        let continuation: CheckedContinuation<Insertion, any Error>
    }

    private struct State {
        var waiting: [Waiting] = []
        var isWriting = false
    }

    private let store: any SchedulerStore
    private let loop: EventLoop
    private let hint: @Sendable (ResourceClass) -> Void
    private let state = Mutex(State())
    static let batch = 500

    init(store: any SchedulerStore, loop: EventLoop, hint: @escaping @Sendable (ResourceClass) -> Void) {
        self.store = store
        self.loop = loop
        self.hint = hint
    }

    func insert(_ job: NewJob) async throws -> Insertion {
        try await withCheckedThrowingContinuation { continuation in
            let mustWrite = state.withLock { state -> Bool in
                state.waiting.append(Waiting(job: job, continuation: continuation))
                if state.isWriting { return false }
                state.isWriting = true
                return true
            }
            if mustWrite { Task(on: EventLoop.current ?? loop) { await self.write() } }
        }
    }

    private func write() async {
        while true {
            let batch = state.withLock { state -> [Waiting] in
                let batch = Array(state.waiting.prefix(Self.batch))
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
            let insertions = try await store.insert(batch.map(\.job))
            for (waiting, insertion) in zip(batch, insertions) { waiting.continuation.resume(returning: insertion) }
            for resourceClass in Set(batch.filter { $0.job.availableAt == nil }.map(\.job.resourceClass)) { hint(resourceClass) }
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
