import Contracts
import ServiceRuntime
import Synchronization

/// Encoded answers of charts, the most recently used first, up to a bound in bytes.
///
/// A key holds everything that its answer depends on, the revisions of the stored days among it, so that nothing is ever stale: a correction is another key.
final class ChartBodies: Sendable {
    struct Key: Hashable, Sendable {
        var session: ChartSessionID
        /// What was asked, and what it was made of.
        var question: SHA256Digest
    }

    /// An answer, ready to be sent.
    struct Body: Sendable {
        var plain: [UInt8]
        /// The same, compressed, once somebody has asked for that.
        var gzip: [UInt8]?
        /// The chart that it begins, or is a part of.
        var request: ChartRequest

        fileprivate var bytes: Int { plain.count + (gzip?.count ?? 0) + 512 }
    }

    private struct Entry {
        var body: Body
        var usedAt: UInt64
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        var bytes = 0
        var clock: UInt64 = 0
    }

    private let state = Mutex(State())
    private let maximumBytes: Int
    private let hits = Metrics.shared.counter("marketdata_chart_cache_hits_total", help: "Charts answered without reading or encoding a bar.")
    private let misses = Metrics.shared.counter("marketdata_chart_cache_misses_total", help: "Charts that had to be read and encoded.")

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// How many bytes are held.
    var bytes: Int { state.withLock { $0.bytes } }
    /// Whose answers are held.
    var sessions: Set<ChartSessionID> { state.withLock { Set($0.entries.keys.map(\.session)) } }

    func body(_ key: Key) -> Body? {
        let found = state.withLock { state -> Body? in
            state.clock += 1
            state.entries[key]?.usedAt = state.clock
            return state.entries[key]?.body
        }
        if found == nil { misses.increment() } else { hits.increment() }
        return found
    }

    func store(_ body: Body, for key: Key) {
        // What is larger than a quarter of the room would only drive out the others.
        guard body.bytes <= maximumBytes / 4 else { return }
        state.withLock { state in
            state.clock += 1
            if let old = state.entries.updateValue(Entry(body: body, usedAt: state.clock), forKey: key) { state.bytes -= old.body.bytes }
            state.bytes += body.bytes
            guard state.bytes > maximumBytes else { return }
            // A quarter goes at once: sorting for each insertion would cost more than it saves.
            for (oldest, entry) in state.entries.sorted(by: { $0.value.usedAt < $1.value.usedAt }) where state.bytes > maximumBytes / 4 * 3 {
                state.entries[oldest] = nil
                state.bytes -= entry.body.bytes
            }
        }
    }

    /// Lets go of everything that belongs to these sessions.
    func remove(of sessions: Set<ChartSessionID>) {
        if sessions.isEmpty { return }
        state.withLock { state in
            for (key, entry) in state.entries where sessions.contains(key.session) {
                state.entries[key] = nil
                state.bytes -= entry.body.bytes
            }
        }
    }
}
