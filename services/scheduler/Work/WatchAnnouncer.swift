import Contracts
import HTTPServing
import ServiceRuntime
import Synchronization

/// Tells marketdata which closes of bars schedules wait for: when they change, and every 30 s, since marketdata may have forgotten.
///
/// A schedule that is armed here is told of at once. What another replica armed is found by looking. Once marketdata has acknowledged, the eras of
/// the schedules begin: from then on each close owes an outcome.
final class WatchAnnouncer: Component {
    let name = "watches"
    static let interval = Duration.milliseconds(500)
    static let repetition: UInt64 = 30_000_000_000

    private struct Announcement: Encodable, Sendable {
        let watches: [WatchedBar]
    }

    private let store: any SchedulerStore
    private let announce: @Sendable ([WatchedBar]) async throws -> Void
    private let time: any TimeSource
    private let loop: EventLoop
    private let last = Mutex<(watches: [WatchedBar], at: UInt64)?>(nil)
    private let work = BackgroundTask()
    private let rest = Mutex<(isPoked: Bool, pause: Task<Void, Never>?)>((false, nil))
    private let logger = Logger("watches")

    init(store: any SchedulerStore, time: any TimeSource, loop: EventLoop, announce: @escaping @Sendable ([WatchedBar]) async throws -> Void) {
        self.store = store
        self.time = time
        self.loop = loop
        self.announce = announce
    }

    convenience init(store: any SchedulerStore, marketdata: ServiceClient, time: any TimeSource, loop: EventLoop) {
        self.init(store: store, time: time, loop: loop) { watches in
            try await marketdata.post("/internal/v1/watches", body: Announcement(watches: watches), isIdempotent: true)
        }
    }

    func start() async throws {
        work.start(on: loop) { [self] in
            var isAway = false
            while !Task.isCancelled {
                do {
                    try await look()
                    isAway = false
                } catch is CancellationError {
                    return
                } catch {
                    if !isAway { logger.warning("marketdata could not be told of watches", ["reason": .string("\(error)")]) }
                    isAway = true
                }
                await pause()
            }
        }
    }

    func stop() async {
        await work.stop()
    }

    /// Has it look now instead of at the end of its pause.
    func poke() {
        rest.withLock { rest in
            rest.isPoked = true
            rest.pause?.cancel()
        }
    }

    private func pause() async {
        let pause = Task<Void, Never>(on: loop) { [time] in _ = try? await time.sleep(for: Self.interval) }
        rest.withLock { rest in
            rest.pause = pause
            if rest.isPoked { pause.cancel() }
        }
        await withTaskCancellationHandler {
            await pause.value
        } onCancel: {
            pause.cancel()
        }
        // Whoever poked until here is served by the look that comes now.
        rest.withLock { $0 = (false, nil) }
    }

    /// Announces what is waited for, if marketdata does not know it yet.
    func look() async throws {
        let watches = try await store.watchedBars()
        let now = time.monotonicNanoseconds()
        let isKnown = last.withLock { last in last.map { $0.watches == watches && now < $0.at + Self.repetition } ?? false }
        if !isKnown {
            try await announce(watches)
            last.withLock { $0 = (watches, now) }
        }
        try await store.beginBarEras(of: watches)
    }
}
