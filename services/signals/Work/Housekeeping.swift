import BlobStore
import Contracts
import PostgresIdempotency
import ServiceRuntime

/// Forgets uploads that no version took over within a day, places of yesterday's dry runs, answers that nobody can ask for any more, and blobs that
/// nothing names.
final class Housekeeping: Component {
    let name = "housekeeping"
    private let store: any SignalsStore
    private let blobs: any BlobStore
    private let idempotency: PostgresIdempotencyStore
    private let time: any TimeSource
    private let loop: EventLoop
    /// What else there is to forget.
    private let rest: @Sendable () async throws -> Void
    private let work = BackgroundTask()

    init(
        store: any SignalsStore,
        blobs: any BlobStore,
        idempotency: PostgresIdempotencyStore,
        time: any TimeSource,
        loop: EventLoop,
        rest: @escaping @Sendable () async throws -> Void = {}
    ) {
        self.rest = rest
        self.store = store
        self.blobs = blobs
        self.idempotency = idempotency
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop) { [self] in
            var rounds = 0
            while (try? await time.sleep(for: .seconds(600))) != nil {
                await round()
                // Every hour: it looks at each file.
                if rounds % 6 == 0 { await cleanUpBlobs() }
                rounds += 1
            }
        }
    }

    func stop() async {
        await work.stop()
    }

    func round() async {
        do {
            let forgotten = try await store.forgetUploads(before: time.now() - .seconds(86_400), limit: 500)
            for digest in forgotten { try await blobs.delete(digest, olderThan: .seconds(86_400)) }
            try await store.forgetDryRunPlaces(before: time.now() - .seconds(86_400))
            try await idempotency.sweep()
            try await rest()
        } catch {
            Logger("housekeeping").warning("not done; trying again in ten minutes", ["reason": .string("\(error)")])
        }
    }

    /// Deletes what neither a version nor an upload names: inline files of requests that failed, and what a killed writer left.
    func cleanUpBlobs() async {
        do {
            let deleted = try await blobs.cleanUp(at: time.now()) { [store] in try await store.referencedBlobs(among: $0) }
            if deleted > 0 { Logger("housekeeping").info("deleted blobs that nothing names", ["blobs": .integer(deleted)]) }
        } catch {
            Logger("housekeeping").warning("blobs were not cleaned up; trying again in an hour", ["reason": .string("\(error)")])
        }
    }
}
