import Contracts
import ServiceRuntime
import Synchronization

/// Asks the store ten times a second for the revisions of all signals in use, with one statement, and has their answers built anew where they rose.
///
/// This is what bounds staleness when no event comes; an event only makes it quicker.
final class RevisionWatch: Component {
    static let interval: Duration = .milliseconds(100)

    let name = "revision-watch"
    private let store: any SignalsStore
    private let reader: PredictionReader
    private let hub: ChangeHub
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = Mutex<Task<Void, Never>?>(nil)
    /// Revisions of signals that are only waited for.
    private let waited = Mutex<[SignalID: Int64]>([:])

    init(store: any SignalsStore, reader: PredictionReader, hub: ChangeHub, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.reader = reader
        self.hub = hub
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        let task = Task(on: loop) { [self] in
            while !Task.isCancelled {
                await look()
                guard (try? await time.sleep(for: Self.interval)) != nil else { return }
            }
        }
        work.withLock { $0 = task }
    }

    func stop() async {
        let task = work.withLock { $0 }
        task?.cancel()
        await task?.value
    }

    /// An event said that a signal has changed: looks at once, without waiting for the next round.
    func heard(_ signalID: SignalID) {
        Task(on: loop) { [self] in
            try? await reader.refresh(signalID)
            hub.announce(signalID)
        }
    }

    /// One round.
    func look() async {
        let waiting = hub.watched
        let signals = Set(reader.watched).union(waiting)
        guard !signals.isEmpty else { return }
        let askedAt = time.monotonicNanoseconds()
        do {
            let revisions = try await store.revisions(Array(signals))
            for signalID in reader.confirm(revisions, askedAt: askedAt) {
                try await reader.refresh(signalID)
                hub.announce(signalID)
            }
            let risen = waited.withLock { known in
                let risen = waiting.filter { signalID in known[signalID].map { $0 < revisions[signalID] ?? $0 } ?? false }
                known = revisions.filter { waiting.contains($0.key) }
                return risen
            }
            for signalID in risen { hub.announce(signalID) }
        } catch {
            // The confirmations run out by themselves, and then readers ask the store and say what is wrong.
            Logger("predictions").debug("revisions could not be read", ["reason": .string("\(error)")])
        }
    }
}
