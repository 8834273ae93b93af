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

    private let bodies: Mutex<RecentlyUsed<Key, Body>>
    private let hits = Metrics.shared.counter("marketdata_chart_cache_hits_total", help: "Charts answered without reading or encoding a bar.")
    private let misses = Metrics.shared.counter("marketdata_chart_cache_misses_total", help: "Charts that had to be read and encoded.")

    init(maximumBytes: Int) { bodies = Mutex(RecentlyUsed(maximumCost: maximumBytes)) }

    /// How many bytes are held.
    var bytes: Int { bodies.withLock { $0.cost } }
    /// Whose answers are held.
    var sessions: Set<ChartSessionID> { bodies.withLock { Set($0.keys.map(\.session)) } }

    func body(_ key: Key) -> Body? {
        let found = bodies.withLock { $0.value(key) }
        if found == nil { misses.increment() } else { hits.increment() }
        return found
    }

    func store(_ body: Body, for key: Key) {
        bodies.withLock { bodies in
            // What is larger than a quarter of the room would only drive out the others.
            guard body.bytes <= bodies.maximumCost / 4 else { return }
            bodies.insert(body, cost: body.bytes, for: key)
        }
    }

    /// Lets go of everything that belongs to these sessions.
    func remove(of sessions: Set<ChartSessionID>) {
        if sessions.isEmpty { return }
        bodies.withLock { bodies in
            for key in bodies.keys.filter({ sessions.contains($0.session) }) { bodies.remove(key) }
        }
    }
}
