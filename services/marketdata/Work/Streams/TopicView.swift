import Bars
import Contracts

/// A topic as it is known at a moment: what its listeners have been told by then.
struct TopicView: Sendable {
    let topic: StreamTopic
    let instrument: Instrument
    /// Everything that became known by this moment is in it.
    var through: Timestamp
    /// The last bars that have closed: corrections of them are seen by comparison.
    var closed: BarSeries
    /// The bar that runs, or none.
    var running: BarSeries
    var revision: Int
    /// How far it can be told which intervals are over, with a bar or without; nothing for history, which does not say it.
    var position: Position?

    /// Where a replay, or a feed, stands.
    struct Position: Sendable {
        /// Nothing for a feed.
        var replay: ReplayID?
        var grid: any BarGrid
        /// Recorded time up to which closes have been told (microseconds since 1970).
        var through: Int64
    }

    /// What somebody is told who has seen nothing: the last bar that closed, and the one that runs.
    var beginning: [[UInt8]] {
        var events: [[UInt8]] = []
        if !closed.isEmpty { events.append(StreamEvent.bar(closed, closed.count - 1, of: topic, knownAt: through, revision: revision)) }
        if !running.isEmpty { events.append(StreamEvent.bar(running, 0, of: topic, knownAt: through, revision: revision, partial: true)) }
        return events
    }
}

/// The comparison of two answers.
enum BarComparison {
    /// The starts between which bars differ, and the first that is right again; nothing when all are the same.
    static func difference(_ before: BarSeries, _ after: BarSeries) -> Range<Int64>? {
        var (first, end): (Int64?, Int64) = (nil, .min)
        var (left, right) = (0, 0)
        while left < before.count || right < after.count {
            let leftStart = left < before.count ? before.starts[left] : .max
            let rightStart = right < after.count ? after.starts[right] : .max
            if leftStart == rightStart, same(before, left, after, right) {
                left += 1
                right += 1
                continue
            }
            first = first ?? min(leftStart, rightStart)
            if leftStart <= rightStart {
                end = max(end, before.ends[left])
                left += 1
            }
            if rightStart <= leftStart {
                end = max(end, after.ends[right])
                right += 1
            }
        }
        return first.map { $0..<end }
    }

    static func same(_ one: BarSeries, _ row: Int, _ other: BarSeries, _ otherRow: Int) -> Bool {
        guard one.starts[row] == other.starts[otherRow], one.ends[row] == other.ends[otherRow] else { return false }
        func same(_ column: ScaledColumn?, _ otherColumn: ScaledColumn?) -> Bool { column?.text(at: row) == otherColumn?.text(at: otherRow) }
        return same(one.open, other.open) && same(one.high, other.high) && same(one.low, other.low) && same(one.close, other.close)
            && same(one.volume, other.volume)
    }

    /// The intervals of a grid that ended after one instant and not after another without a bar.
    static func empty(_ grid: any BarGrid, after: Int64, through: Int64, bars: BarSeries) -> [EmptyIntervals] {
        var found: [EmptyIntervals] = []
        var instant = after
        var row = bars.firstRow(startingFrom: after)
        if row > 0, bars.ends[row - 1] > after { row -= 1 }
        // What would be told of a hole of days is a hole, and not each of its seconds.
        for _ in 0..<20_000 where instant < through {
            switch grid.slot(at: instant) {
            case .gap(let until): instant = until
            case .bucket(let start, let end, let spanEnd):
                guard end <= through else { return found }
                while row < bars.count, bars.starts[row] < start { row += 1 }
                if row < bars.count, bars.starts[row] < end {
                    row += 1
                } else if let last = found.last, last.end == start {
                    found[found.count - 1].end = end
                    found[found.count - 1].count += 1
                } else {
                    found.append(EmptyIntervals(start: start, end: end, count: 1))
                }
                instant = spanEnd
            }
        }
        return found
    }
}
