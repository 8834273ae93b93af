import ServiceRuntime

/// Deletes, once in ten minutes, what nobody can ask for any more.
final class Housekeeping: Component {
    let name = "housekeeping"
    static let interval = Duration.seconds(600)

    private let store: any AuthStore
    private let time: any TimeSource
    private let control: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("housekeeping")

    init(store: any AuthStore, time: any TimeSource, control: EventLoop) {
        self.store = store
        self.time = time
        self.control = control
    }

    func start() async throws {
        work.start(on: control, every: Self.interval, time: time, pausesFirst: true) { [self] in await tidy() }
    }

    func stop() async {
        await work.stop()
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
