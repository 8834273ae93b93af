import Contracts
import ServiceRuntime
import Synchronization

/// Makes the runs of backfills as earlier ones end; any number of replicas may do so at once, because each works on the backfill that it could lock.
final class BackfillKeeper: Component {
    let name = "backfill keeper"
    /// How soon the end of a run is noticed while a backfill is open, and a backfill that another replica took in otherwise.
    static let busyPause = Duration.milliseconds(250)
    static let idlePause = Duration.seconds(5)
    private static let restNanoseconds: UInt64 = 10_000_000_000

    private let store: BackfillStore
    private let time: any TimeSource
    private let loop: EventLoop
    private let hint: @Sendable (ResourceClass) -> Void
    private let work = BackgroundTask()
    private let rest = Mutex(Rest())
    /// Backfills that could not go on, and when they are tried again, by the monotonic clock.
    private let resting = Mutex<[BackfillID: UInt64]>([:])
    /// How many one round looks at, and behind which the next one begins: those that cannot go on must not keep the others from it.
    private let batch: Int
    private let position = Mutex<BackfillID?>(nil)
    private let logger = Logger("backfills")

    private struct Rest {
        var isPoked = false
        var pause: Task<Void, Never>?
    }

    init(store: BackfillStore, time: any TimeSource, loop: EventLoop, batch: Int = 1_000, hint: @escaping @Sendable (ResourceClass) -> Void) {
        self.store = store
        self.batch = batch
        self.time = time
        self.loop = loop
        self.hint = hint
    }

    func start() async throws {
        work.start(on: loop) { [self] in await run() }
    }

    func stop() async {
        await work.stop()
    }

    /// There is a new backfill.
    func poke() {
        rest.withLock { rest in
            rest.isPoked = true
            rest.pause?.cancel()
        }
    }

    private func run() async {
        while !Task.isCancelled {
            var isBusy = false
            do {
                isBusy = try await round()
            } catch is CancellationError {
                return
            } catch {
                logger.warning("could not look at the backfills; trying again", ["reason": .string(String(reflecting: error))])
            }
            await pause(isBusy ? Self.busyPause : Self.idlePause)
        }
    }

    /// Until the time is over or somebody pokes.
    private func pause(_ duration: Duration) async {
        let pause = Task<Void, Never>(on: loop) { [time] in _ = try? await time.sleep(for: duration) }
        rest.withLock { rest in
            rest.pause = pause
            if rest.isPoked { pause.cancel() }
        }
        await withTaskCancellationHandler {
            await pause.value
        } onCancel: {
            pause.cancel()
        }
        rest.withLock { $0 = Rest() }
    }

    /// One look at the backfills that are not finished, a thousand of them and in turn; true when there are any.
    func round() async throws -> Bool {
        let after = position.withLock { $0 }
        let unfinished = try await store.unfinished(after: after, limit: batch)
        position.withLock { $0 = unfinished.count < batch ? nil : unfinished.last }
        var classes: Set<ResourceClass> = []
        let clock = time.monotonicNanoseconds()
        let resting = resting.withLock { resting in
            resting = resting.filter { $0.value > clock }
            return resting
        }
        for id in unfinished where resting[id] == nil {
            do {
                guard let advance = try await store.advance(id, now: time.now()), advance.made > 0 else { continue }
                classes.insert(advance.resourceClass)
            } catch let error as CancellationError {
                throw error
            } catch {
                // Whatever is wrong with this one, the others go on.
                self.resting.withLock { $0[id] = clock + Self.restNanoseconds }
                logger.warning(
                    "a backfill cannot go on; trying it again in a while",
                    ["backfill_id": .string(id.description), "reason": .string(String(reflecting: error))]
                )
            }
        }
        for resourceClass in classes { hint(resourceClass) }
        return after != nil || !unfinished.isEmpty
    }
}
