import Bars
import Contracts
import HTTPServing

/// A part of a chart as its client reads it.
enum ChartAnswer {
    /// The last `points` of the bars; one more than that says that there are earlier ones.
    static func json(_ id: ChartRequestID, _ bars: BarSeries, points: Int) -> [UInt8] {
        let hasMore = bars.count > points
        let shown = hasMore ? bars.slice((bars.count - points)..<bars.count) : bars
        var writer = HTTPServing.JSONWriter(capacity: shown.count * 190 + 512)
        writer.beginObject()
        writer.member("request_id", id.description)
        var columns: [UInt8] = []
        ColumnarJSON.append(shown, to: &columns)
        writer.member("columns", raw: columns)
        writer.member("count", shown.count)
        writer.member("has_more", hasMore)
        if hasMore, let first = shown.starts.first {
            writer.member("next_before", Timestamp(microseconds: first).iso8601)
        } else {
            writer.member("next_before", raw: "null".utf8)
        }
        writer.endObject()
        return writer.bytes
    }
}
