import Contracts
import Synchronization

/// What a job printed and the scheduler was not told yet: bounded, in pieces as they travel, the same piece again until it has arrived.
///
/// The beginning of a log is sent whole. Behind it only the newest is worth its way: what a flood pushes out before it could be sent is skipped, which
/// the next piece's offset shows.
final class LiveLog: Sendable {
    private struct State {
        /// How much was printed, in bytes.
        var total: Int64 = 0
        /// What is not sent of the beginning, and the newest behind it, each ending where its offset and count say.
        var head: [UInt8] = []
        var headOffset: Int64 = 0
        var tail: [UInt8] = []
        var onItsWay: LogChunk?
    }

    private let state = Mutex(State())

    /// Takes what was printed next.
    func append(_ text: String) {
        if text.isEmpty { return }
        // A NUL cannot travel: with it in a log the whole renewal would be refused, and every lease of the worker with it.
        let text = FinishedJob.plain(text, maximumBytes: .max)
        state.withLock { state in
            var rest = text.utf8[...]
            if state.total < LogChunk.headBytes {
                let beginning = text.prefix(utf8Bytes: LogChunk.headBytes - Int(state.total))
                state.head += beginning.utf8
                rest = rest.dropFirst(beginning.utf8.count)
            }
            state.total += Int64(text.utf8.count)
            state.tail += rest
            // In large steps: a print at a time must not move the whole tail.
            if state.tail.count > 4 * LogChunk.maximumBytes { Self.skip(&state) }
        }
    }

    private static func skip(_ state: inout State) {
        var dropped = max(0, state.tail.count - LogChunk.maximumBytes)
        while dropped < state.tail.count, state.tail[dropped] & 0xC0 == 0x80 { dropped += 1 }
        state.tail.removeFirst(dropped)
    }

    /// The next piece; nil when there is nothing new. It is given again until it was ``arrived(_:)``.
    func next() -> LogChunk? {
        state.withLock { state in
            if let chunk = state.onItsWay { return chunk }
            if !state.head.isEmpty {
                var end = min(LogChunk.maximumBytes, state.head.count)
                while end < state.head.count, end > 0, state.head[end] & 0xC0 == 0x80 { end -= 1 }
                state.onItsWay = LogChunk(offset: state.headOffset, text: String(decoding: state.head[..<end], as: UTF8.self))
                state.head.removeFirst(end)
                state.headOffset += Int64(end)
            } else if !state.tail.isEmpty {
                Self.skip(&state)
                let offset = state.total - Int64(state.tail.count)
                state.onItsWay = LogChunk(offset: offset, text: String(decoding: state.tail, as: UTF8.self))
                state.tail = []
            }
            return state.onItsWay
        }
    }

    /// Whether there is something to send.
    var hasNews: Bool { state.withLock { $0.onItsWay != nil || !$0.head.isEmpty || !$0.tail.isEmpty } }

    /// Forgets a piece that has arrived.
    func arrived(_ chunk: LogChunk) {
        state.withLock { if $0.onItsWay == chunk { $0.onItsWay = nil } }
    }
}
