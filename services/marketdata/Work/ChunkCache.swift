import Bars
import Synchronization

/// Decoded days, the most recently used first, up to a bound on memory. Chunks never change, so nothing is ever stale.
final class ChunkCache: Sendable {
    private struct Entry {
        var series: BarSeries
        var usedAt: UInt64
    }

    private struct State {
        var entries: [ChunkKey: Entry] = [:]
        var rows = 0
        var clock: UInt64 = 0
    }

    private let state = Mutex(State())
    private let maximumRows: Int

    /// A row is about 64 bytes; each entry counts as 16 rows more.
    init(maximumRows: Int = 400_000) { self.maximumRows = maximumRows }

    func series(_ key: ChunkKey) -> BarSeries? {
        state.withLock { state in
            state.clock += 1
            state.entries[key]?.usedAt = state.clock
            return state.entries[key]?.series
        }
    }

    func insert(_ series: BarSeries, for key: ChunkKey) {
        state.withLock { state in
            state.clock += 1
            guard state.entries.updateValue(Entry(series: series, usedAt: state.clock), forKey: key) == nil else { return }
            state.rows += series.count + 16
            guard state.rows > maximumRows else { return }
            // Half goes at once: sorting for each insertion would cost more than it saves.
            for (oldest, entry) in state.entries.sorted(by: { $0.value.usedAt < $1.value.usedAt }) where state.rows > maximumRows / 2 {
                state.entries[oldest] = nil
                state.rows -= entry.series.count + 16
            }
        }
    }
}
