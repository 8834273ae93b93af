import Bars
import Contracts
import FoundationEssentials
import ServiceRuntime
import Synchronization

/// Keeps replays running: claims those without a runner, runs each in a task, and begins a new one where a loop ended.
///
/// Replicas share the work by leases in the database; after a crash another replica goes on from the last release within seconds.
final class ReplayFeed: Component {
    let name = "replay feed"

    private let store: any MarketdataStore
    private let reader: BarReader
    private let time: any TimeSource
    private let control: EventLoop
    private let runner = "marketdata-" + UUID().uuidString.lowercased()
    private let logger = Logger("replay-feed")
    private let state = Mutex<State>(State())

    private struct State {
        var supervisor: Task<Void, Never>?
        var runs: [ReplayID: Task<Void, Never>] = [:]
        var wake = false
    }

    init(store: any MarketdataStore, reader: BarReader, time: any TimeSource, control: EventLoop) {
        self.store = store
        self.reader = reader
        self.time = time
        self.control = control
    }

    /// Begins to look for replays that nobody runs.
    func start() async throws {
        let task = Task<Void, Never>(on: control) { [self] in
            while !Task.isCancelled {
                await claim()
                for _ in 0..<10 where !Task.isCancelled {
                    let isWoken = state.withLock { state in
                        defer { state.wake = false }
                        return state.wake
                    }
                    if isWoken { break }
                    do { try await time.sleep(for: .milliseconds(100)) } catch { return }
                }
            }
        }
        state.withLock { $0.supervisor = task }
    }

    /// Ends the runs and gives the leases back, so that other replicas go on at once.
    func stop() async {
        let (supervisor, runs) = state.withLock { ($0.supervisor, $0.runs) }
        supervisor?.cancel()
        for run in runs.values { run.cancel() }
        await supervisor?.value
        for (id, run) in runs {
            await run.value
            // Not in the run's own task: cancelled, it can no longer ask the database for anything.
            try? await store.releaseLease(of: id, runner: runner)
        }
    }

    /// A replay was made or resumed: look at once.
    func wake() { state.withLock { $0.wake = true } }

    private func claim() async {
        do {
            for replay in try await store.claimReplays(runner: runner, leaseSeconds: ReplayRun.leaseSeconds) { begin(replay) }
        } catch {
            logger.warning("replays could not be claimed", ["error": .string("\(error)")])
        }
    }

    private func begin(_ replay: Replay) {
        state.withLock { state in
            guard state.runs[replay.id] == nil else { return }
            state.runs[replay.id] = Task<Void, Never>(on: control) { [self] in
                await run(replay)
                self.state.withLock { $0.runs[replay.id] = nil }
            }
        }
    }

    private func run(_ replay: Replay) async {
        do {
            let end = try await ReplayRun(store: store, reader: reader, time: time, runner: runner).run(replay)
            switch end {
            case .finished:
                let next = try await store.finishReplay(replay.id, next: try await nextRound(of: replay))
                logger.notice("replay finished", ["symbol": .string(replay.symbol), "next": .string(next?.symbol ?? "-")])
                if next != nil { wake() }
            case .notOurs, .cancelled: break
            }
        } catch  where Task.isCancelled {
            return
        } catch {
            // The lease stays ours; the next claim brings the replay back.
            logger.warning("a replay stumbled", ["symbol": .string(replay.symbol), "error": .string("\(error)")])
        }
    }

    /// A loop is a new replay with a new number: what was released once is never released again.
    private func nextRound(of replay: Replay) async throws -> ReplayDraft? {
        guard replay.loops else { return nil }
        // A short loop at high speed must not fill the list of instruments by itself.
        let rest = replay.createdAt + Self.shortestRound - time.now()
        if rest > .zero { try await time.sleep(for: rest) }
        return ReplayDraft(
            id: .make(),
            instrumentID: .make(),
            sourceInstrumentID: replay.sourceInstrumentID,
            accountID: replay.accountID,
            baseIntervalSeconds: replay.baseIntervalSeconds,
            speed: replay.speed,
            loops: true,
            startsAt: replay.startsAt,
            endsAt: replay.endsAt,
            revisionsAsOf: replay.revisionsAsOf,
            createdAt: time.now()
        )
    }

    private static let shortestRound = Duration.seconds(4)
}
