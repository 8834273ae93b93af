import ServiceRuntime
import Synchronization

/// Deletes, once in ten minutes, what nobody can ask for any more.
final class Housekeeping: Component {
    let name = "housekeeping"
    static let interval = Duration.seconds(600)

    private let store: any AuthStore
    private let time: any TimeSource
    private let control: EventLoop
    private let running = Mutex<Task<Void, Never>?>(nil)
    private let logger = Logger("housekeeping")

    init(store: any AuthStore, time: any TimeSource, control: EventLoop) {
        self.store = store
        self.time = time
        self.control = control
    }

    func start() async throws {
        running.withLock { task in
            task = Task(on: control) { [self] in
                while !Task.isCancelled {
                    try? await time.sleep(for: Self.interval)
                    if Task.isCancelled { return }
                    await tidy()
                }
            }
        }
    }

    func stop() async {
        let task = running.withLock { $0 }
        task?.cancel()
        await task?.value
    }

    private func tidy() async {
        let now = time.now()
        do {
            try await store.transaction { try await $0.deleteEnded(before: now) }
        } catch {
            logger.warning("not tidied", ["error": .string("\(error)")])
        }
    }
}
