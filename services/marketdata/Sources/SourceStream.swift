import Bars
import Contracts
import Synchronization

/// What a stream is of.
enum StreamKind: Sendable, Equatable {
    /// Trades and quotes.
    case trades
    /// Bars of so many seconds, as the source builds them.
    case bars(seconds: Int)
}

/// A connection to a source that is kept up and tells what happens to the symbols that are watched.
protocol SourceStream: Sendable {
    /// What happens, for one reader.
    var events: SourceEvents { get }
    /// How often it tells at least its clock, though nothing happens; nothing where its silence says nothing.
    var heartbeat: Duration? { get }
    /// Watches a symbol (as the source spells it), now and after each reconnect.
    func watch(_ symbol: String) async throws
    /// Watches it no more.
    func unwatch(_ symbol: String) async
    /// Works until its task is cancelled; a connection that is lost is made again.
    func run() async
}

extension SourceStream {
    var heartbeat: Duration? { nil }
}

/// One trade.
struct SourceTrade: Sendable, Equatable {
    var symbol: String
    /// When it happened; nothing where the source did not say.
    var time: Timestamp?
    var price: DecimalNumber
    var size: DecimalNumber
    /// Whether it makes bars (it may be of a kind that does not set the last price).
    var qualifies: Bool
    /// The day's volume with it.
    var totalVolume: DecimalNumber?
    /// The source's number of it, where it has one: rising for each symbol, the same however often it is told.
    var id: Int64? = nil
}

/// The best bid and ask.
struct SourceQuote: Sendable, Equatable {
    var symbol: String
    var bid: DecimalNumber?
    var bidSize: DecimalNumber?
    var ask: DecimalNumber?
    var askSize: DecimalNumber?
}

/// A bar that the source built.
struct SourceBar: Sendable, Equatable {
    enum State: Sendable, Equatable {
        /// Over before the watch (or the reconnect) began.
        case history
        /// Just over.
        case complete
        /// Still growing.
        case running
    }

    var symbol: String
    var state: State
    var start: Timestamp
    var seconds: Int
    var open: DecimalNumber
    var high: DecimalNumber
    var low: DecimalNumber
    var close: DecimalNumber
    var volume: DecimalNumber?
    var trades: Int64?
}

/// What a stream tells.
enum SourceEvent: Sendable, Equatable {
    enum HoleReason: Sendable, Equatable {
        /// The connection was lost.
        case disconnected(String)
        /// The reader was too slow and the queue full.
        case slowReader(dropped: Int)
    }

    /// Connected, and everything is watched (again).
    case live
    /// The source's own clock.
    case clock(Timestamp)
    /// How a symbol stood when it was first watched; no event of its own.
    case summary(SourceQuote, last: DecimalNumber?)
    case trade(SourceTrade)
    case quote(SourceQuote)
    case bar(SourceBar)
    /// An earlier trade was wrong; history has the right ones.
    case correction(symbol: String)
    /// The source does not watch that symbol.
    case refused(symbol: String, reason: String)
    /// The source's own connection to its servers went or came.
    case upstream(isConnected: Bool)
    /// From that moment until the next `live` (after a lost connection) or until now (after a slow reader) events are missing: fetch them as history.
    case hole(since: Timestamp, HoleReason)
}

/// A bounded queue of events for one reader.
///
/// The policy for a slow reader is explicit: what is queued stays in order, what finds the queue full is dropped and counted, and as soon as there is room
/// again the reader is told of the hole. The socket is never left unread for it: the vendor would cut a client that does not read.
final class SourceEvents: AsyncSequence, Sendable {
    private struct State {
        var queue: [SourceEvent] = []
        /// Taken from the front of `queue`.
        var taken = 0
        var dropped = 0
        var droppedSince: Timestamp?
        var reader: CheckedContinuation<SourceEvent?, Never>?
        var isFinished = false

        var count: Int { queue.count - taken }

        mutating func popFirst() -> SourceEvent? {
            guard taken < queue.count else { return nil }
            defer {
                taken += 1
                if taken == queue.count || taken > 4_096 {
                    queue.removeFirst(taken)
                    taken = 0
                }
            }
            return queue[taken]
        }
    }

    private let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int = 65_536) { self.capacity = capacity }

    /// Adds an event that happened at `now`, or drops it.
    func push(_ event: SourceEvent, now: Timestamp) {
        let reader = state.withLock { state -> CheckedContinuation<SourceEvent?, Never>? in
            guard !state.isFinished else { return nil }
            if let reader = state.reader {
                state.reader = nil
                state.queue.append(event)
                return reader
            }
            if state.dropped > 0 || state.count >= capacity {
                // Once something was dropped, everything is until the reader has caught up and knows.
                if state.dropped == 0 { state.droppedSince = now }
                state.dropped += 1
            } else {
                state.queue.append(event)
            }
            return nil
        }
        guard let reader else { return }
        reader.resume(returning: state.withLock { $0.popFirst() })
    }

    /// Ends the sequence after what is queued.
    func finish() {
        let reader = state.withLock { state -> CheckedContinuation<SourceEvent?, Never>? in
            state.isFinished = true
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(returning: nil)
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        let events: SourceEvents
        func next() async -> SourceEvent? { await events.next() }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(events: self) }

    private func next() async -> SourceEvent? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome = state.withLock { state -> SourceEvent?? in
                    if let event = state.popFirst() { return .some(event) }
                    if state.dropped > 0 {
                        defer {
                            state.dropped = 0
                            state.droppedSince = nil
                        }
                        return .some(.hole(since: state.droppedSince ?? .distantPast, .slowReader(dropped: state.dropped)))
                    }
                    if state.isFinished || Task.isCancelled { return .some(nil) }
                    precondition(state.reader == nil, "a stream has one reader")
                    state.reader = continuation
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            let reader = state.withLock { state -> CheckedContinuation<SourceEvent?, Never>? in
                defer { state.reader = nil }
                return state.reader
            }
            reader?.resume(returning: nil)
        }
    }
}
