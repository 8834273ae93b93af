import Contracts
import ServiceRuntime
import Synchronization

/// Tells how long a job will probably run, from memory: what ended lately here is noted at once, what ended at other replicas some seconds later.
final class DurationBook: Component {
    private struct State {
        var model = DurationModel()
        var pending: [DurationStore.Sample] = []
        var seenUntil: Timestamp?
    }

    let name = "duration-book"
    static let interval = Duration.seconds(2)
    /// Of more jobs between two rounds the first say enough.
    private static let mostPending = 4_000
    private let store: DurationStore
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("durations")
    private let state = Mutex(State())

    init(store: DurationStore, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time, logger: logger, failure: "durations of jobs cannot be kept") { [self] in
            try await round()
        }
    }

    func stop() async {
        await work.stop()
        try? await round()
    }

    /// Seconds that a job like this one takes; nil when too little is known.
    func estimate(_ job: NewJob) -> Double? {
        let key = DurationKey(kind: job.kind, spec: job.spec)
        return state.withLock { $0.model.estimate(key) }
    }

    /// Notes jobs that have ended.
    func note(_ jobs: [Job]) {
        let samples = jobs.compactMap { job in
            job.tellingSeconds.map { DurationStore.Sample(key: DurationKey(kind: job.kind, spec: job.spec), seconds: $0) }
        }
        if samples.isEmpty { return }
        state.withLock { state in
            for sample in samples where state.pending.count < Self.mostPending {
                state.pending.append(sample)
                state.model.add(sample.seconds, of: sample.key)
            }
        }
    }

    /// Writes what was noted, and reads what others have written.
    func round() async throws {
        let (samples, since) = state.withLock { state -> ([DurationStore.Sample], Timestamp?) in
            defer { state.pending = [] }
            return (state.pending, state.seenUntil)
        }
        try await store.add(samples)
        let (rows, now) = try await store.changes(since: since)
        state.withLock { state in
            // Rather from the start again than more and more for signals that are no more.
            if state.model.keys > 2 * Int(DurationStore.mostKeys) {
                state.model = DurationModel()
                state.seenUntil = nil
                return
            }
            for (key, seconds) in rows { state.model.put(seconds, of: key) }
            state.seenUntil = now
        }
    }
}
