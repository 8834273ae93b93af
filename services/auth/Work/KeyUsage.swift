import Contracts
import ServiceRuntime
import Synchronization

/// Remembers when keys were last asked about and writes it down in batches, so that a verification costs no write.
final class KeyUsage: Component {
    let name = "key-usage"
    static let flushInterval = Duration.seconds(5)

    private let store: any AuthStore
    private let time: any TimeSource
    private let control: EventLoop?
    private let uses = Mutex<[APIKeyID: Timestamp]>([:])
    private let work = BackgroundTask()
    private let logger = Logger("key-usage")

    init(store: any AuthStore, time: any TimeSource, control: EventLoop? = nil) {
        self.store = store
        self.time = time
        self.control = control
    }

    /// Notes a use; the latest one counts.
    func note(_ key: APIKeyID) {
        let now = time.now()
        uses.withLock { $0[key] = now }
    }

    func start() async throws {
        guard let control else { return }
        // A cancelled task cannot write; `stop` does it after this one has ended.
        work.start(on: control, every: Self.flushInterval, time: time, pausesFirst: true) { [self] in await flush() }
    }

    func stop() async {
        await work.stop()
        await flush()
    }

    /// Writes what has gathered; what cannot be written waits for the next time.
    func flush() async {
        let batch = uses.withLock { uses in
            defer { uses = [:] }
            return uses
        }
        guard !batch.isEmpty else { return }
        do {
            try await store.transaction { try await $0.recordUse(of: batch) }
        } catch {
            uses.withLock { $0.merge(batch) { later, _ in later } }
            logger.warning("key uses not written yet", ["keys": .integer(batch.count), "error": .string("\(error)")])
        }
    }
}
