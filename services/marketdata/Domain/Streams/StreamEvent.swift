import Bars
import Contracts
import HTTPServing

/// What a stream of bars says, as the bytes that go to every listener.
enum StreamEvent {
    /// A bar that closed, or with `partial` the one that still runs.
    static func bar(_ bars: BarSeries, _ row: Int, of topic: StreamTopic, knownAt: Timestamp, revision: Int, partial: Bool = false) -> [UInt8] {
        event(partial ? "running" : "bar", topic, knownAt) { writer in
            writer.member("start", Timestamp(microseconds: bars.starts[row]).iso8601)
            writer.member("end", Timestamp(microseconds: bars.ends[row]).iso8601)
            number("open", bars.open, row, &writer)
            number("high", bars.high, row, &writer)
            number("low", bars.low, row, &writer)
            number("close", bars.close, row, &writer)
            if let volume = bars.volume { number("volume", volume, row, &writer) }
            if let trades = bars.trades, trades[row] >= 0 { writer.member("trades", Int(trades[row])) }
            writer.member("revision", revision)
            if partial { writer.member("partial", true) }
        }
    }

    /// So many intervals in a row closed without a trade.
    static func empty(_ gap: EmptyIntervals, of topic: StreamTopic, knownAt: Timestamp) -> [UInt8] {
        event("empty", topic, knownAt) { writer in
            writer.member("start", Timestamp(microseconds: gap.start).iso8601)
            writer.member("end", Timestamp(microseconds: gap.end).iso8601)
            writer.member("intervals", gap.count)
            writer.member("bar", raw: "null".utf8)
        }
    }

    /// Bars that a listener has seen, or could have, are other ones now.
    static func revised(_ change: RevisedBars, of topic: StreamTopic, knownAt: Timestamp) -> [UInt8] {
        event("revised", topic, knownAt) { writer in
            writer.member("from", Timestamp(microseconds: change.starts.lowerBound).iso8601)
            writer.member("to", Timestamp(microseconds: change.starts.upperBound).iso8601)
            writer.member("revision", change.revision)
        }
    }

    /// More became known than a stream repeats: what is missing is read by `/api/bars`.
    static func reset(_ topic: StreamTopic, knownAt: Timestamp) -> [UInt8] { event("reset", topic, knownAt) { _ in } }

    /// Everything known by then was sent, and no event carried that moment as its id.
    static func mark(_ knownAt: Timestamp) -> [UInt8] {
        EventStream.encode(event: "mark", data: "{\"known_at\":\"\(knownAt.iso8601)\"}")
    }

    /// Events in one piece, the last of which carries the id.
    static func joined(_ events: [[UInt8]], id: Timestamp?) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(events.reduce(32) { $0 + $1.count })
        for (index, event) in events.enumerated() {
            if let id, index == events.count - 1 { bytes += "id: \(id.microseconds)\n".utf8 }
            bytes += event
        }
        return bytes
    }

    private static func event(_ name: String, _ topic: StreamTopic, _ knownAt: Timestamp, _ body: (inout HTTPServing.JSONWriter) -> Void) -> [UInt8] {
        var writer = HTTPServing.JSONWriter(capacity: 320)
        writer.beginObject()
        writer.member("topic", topic.text)
        body(&writer)
        writer.member("known_at", knownAt.iso8601)
        writer.endObject()
        return EventStream.encode(event: name, data: String(decoding: writer.bytes, as: UTF8.self))
    }

    private static func number(_ name: String, _ column: ScaledColumn, _ row: Int, _ writer: inout HTTPServing.JSONWriter) {
        if let text = column.text(at: row) { writer.member(name, text) } else { writer.member(name, raw: "null".utf8) }
    }
}

/// Intervals in a row that closed without a trade (microseconds since 1970).
struct EmptyIntervals: Sendable, Equatable {
    var start: Int64
    var end: Int64
    var count: Int
}

/// Bars that were corrected: the first start, and the first that is right again (microseconds since 1970).
struct RevisedBars: Sendable, Equatable {
    var starts: Range<Int64>
    var revision: Int
}
