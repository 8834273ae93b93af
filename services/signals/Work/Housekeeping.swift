import BlobStore
import Contracts
import PostgresIdempotency
import ServiceRuntime
import Synchronization

/// Forgets uploads that no version took over within a day, places of yesterday's dry runs, and answers that nobody can ask for any more.
final class Housekeeping: Component {
    let name = "housekeeping"
    private let store: any SignalsStore
    private let blobs: any BlobStore
    private let idempotency: PostgresIdempotencyStore
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = Mutex<Task<Void, Never>?>(nil)

    init(store: any SignalsStore, blobs: any BlobStore, idempotency: PostgresIdempotencyStore, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.blobs = blobs
        self.idempotency = idempotency
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        let task = Task(on: loop) { [self] in
            while !Task.isCancelled {
                guard (try? await time.sleep(for: .seconds(600))) != nil else { return }
                await round()
            }
        }
        work.withLock { $0 = task }
    }

    func stop() async {
        let task = work.withLock { $0 }
        task?.cancel()
        await task?.value
    }

    func round() async {
        do {
            let forgotten = try await store.forgetUploads(before: time.now() - .seconds(86_400), limit: 500)
            for digest in forgotten { try await blobs.delete(digest, olderThan: .seconds(86_400)) }
            try await store.forgetDryRunPlaces(before: time.now() - .seconds(86_400))
            try await idempotency.sweep()
        } catch {
            Logger("housekeeping").warning("not done; trying again in ten minutes", ["reason": .string("\(error)")])
        }
    }
}
