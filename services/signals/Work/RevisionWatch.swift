import Contracts
import ServiceRuntime
import Synchronization

/// Asks the store ten times a second for the revisions of all signals in use, with one statement, and has their answers built anew where they rose.
///
/// This is what bounds staleness when no event comes; an event only makes it quicker. Signals that change together are read together, a part of a round at
/// a time, so that a close of many bars costs a few statements and not some for every signal.
final class RevisionWatch: Component {
    static let interval: Duration = .milliseconds(100)
    /// How many signals' bodies are built anew before all the others are confirmed again: their confirmations must not run out meanwhile.
    static let maximumSignalsPerRound = 512

    let name = "revision-watch"
    private let store: any SignalsStore
    private let reader: PredictionReader
    private let hub: ChangeHub
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    /// What events spoke of and nobody has looked at yet. There is one looker at a time, begun by whoever finds none.
    private let news = Mutex<(signals: Set<SignalID>, hasLooker: Bool)>(([], false))
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
        work.start(on: loop, every: Self.interval, time: time) { [self] in
            while await look(), !Task.isCancelled {}
        }
    }

    func stop() async {
        await work.stop()
    }

    /// An event said that a signal has changed: looks at once, without waiting for the next round, at all that have come while it was looking before.
    func heard(_ signalID: SignalID) {
        let isFirst = news.withLock { news in
            news.signals.insert(signalID)
            defer { news.hasLooker = true }
            return !news.hasLooker
        }
        if isFirst { Task(on: loop) { [self] in await lookAtNews() } }
    }

    private func lookAtNews() async {
        while true {
            let signals = news.withLock { news in
                defer { news.signals = [] }
                news.hasLooker = !news.signals.isEmpty
                return Array(news.signals)
            }
            if signals.isEmpty { return }
            do {
                try await reader.refresh(signals) { announce($0) }
            } catch {
                // Who waits looks for himself, and is told what is wrong.
                announce(signals)
            }
        }
    }

    private func announce(_ signals: [SignalID]) {
        for signalID in signals { hub.announce(signalID) }
    }

    /// One round; true when more has changed than one round may take, so that the next should follow at once.
    @discardableResult
    func look() async -> Bool {
        let waiting = hub.watched
        let signals = Set(reader.watched).union(waiting)
        guard !signals.isEmpty else { return false }
        let askedAt = time.monotonicNanoseconds()
        do {
            let revisions = try await store.revisions(Array(signals))
            let stale = reader.confirm(revisions, askedAt: askedAt)
            try await reader.refresh(Array(stale.prefix(Self.maximumSignalsPerRound))) { announce($0) }
            let risen = waited.withLock { known in
                let risen = waiting.filter { signalID in known[signalID].map { $0 < revisions[signalID] ?? $0 } ?? false }
                known = revisions.filter { waiting.contains($0.key) }
                return risen
            }
            announce(Array(risen))
            return stale.count > Self.maximumSignalsPerRound
        } catch {
            // The confirmations run out by themselves, and then readers ask the store and say what is wrong.
            Logger("predictions").debug("revisions could not be read", ["reason": .string("\(error)")])
            return false
        }
    }
}
