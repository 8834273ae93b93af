import Bars
import Contracts
import HTTPServing

extension BarAnswer {
    /// The answer as a response, columns written straight from the series.
    func response(_ format: BarQuery.Format) -> Response {
        var response: Response
        switch format {
        case .json: response = .json(bytes: json())
        case .binary:
            var flags: BinaryBars.Flags = []
            if lastIsPartial { flags.insert(.partialLast) }
            if isApproximate { flags.insert(.approximate) }
            let bytes = BinaryBars.encode(bars, intervalSeconds: interval.seconds, flags: flags, dataDigest: dataSHA256.bytes)
            response = .bytes(bytes, contentType: "application/vnd.auspex.bars")
        case .csv: response = .bytes(RowCSV.encode(bars), contentType: RowCSV.mediaType)
        case .arrow: response = .bytes(ArrowStream.encode(bars, metadata: metadata), contentType: ArrowStream.mediaType)
        }
        if format != .json {
            if let nextStart { response.headers["X-Auspex-Next-Start"] = Timestamp(microseconds: nextStart).iso8601 }
            if lastIsPartial { response.headers["X-Auspex-Last-Is-Partial"] = "true" }
            if isApproximate { response.headers["X-Auspex-Approximate"] = "true" }
        }
        response.headers["X-Auspex-Data-SHA256"] = dataSHA256.hex
        return response
    }

    /// What the schema of an Arrow stream says of its bars.
    private var metadata: [(name: String, value: String)] {
        [
            ("instrument", instrument.symbol), ("interval", interval.text), ("interval_seconds", String(interval.seconds)), ("price", price.rawValue),
            ("session", session.rawValue), ("anchor", anchor.rawValue), ("data_sha256", dataSHA256.hex), ("last_is_partial", String(lastIsPartial)),
            ("approximate", String(isApproximate)), ("next_start", nextStart.map { Timestamp(microseconds: $0).iso8601 } ?? ""),
        ]
    }

    private func json() -> [UInt8] {
        var columns: [UInt8] = []
        ColumnarJSON.append(bars, to: &columns)
        if let isFilled {
            // One column more, before the brace that ends them.
            columns.removeLast()
            columns.append(contentsOf: ",\"filled\":[\(isFilled.map { $0 ? "true" : "false" }.joined(separator: ","))]}".utf8)
        }
        var writer = HTTPServing.JSONWriter(capacity: columns.count + 512)
        writer.beginObject()
        writer.member("instrument", instrument.symbol)
        writer.member("instrument_id", instrument.id.description)
        writer.member("feed", instrument.feed.rawValue)
        writer.member("interval", interval.text)
        writer.member("interval_seconds", interval.seconds)
        writer.member("price", price.rawValue)
        writer.member("session", session.rawValue)
        writer.member("anchor", anchor.rawValue)
        writer.member("adjustment", adjustment.rawValue)
        writer.member("approximate", isApproximate)
        writer.member("last_is_partial", lastIsPartial)
        writer.member("count", bars.count)
        writer.member("data_sha256", dataSHA256.hex)
        if let nextStart {
            writer.member("next_start", Timestamp(microseconds: nextStart).iso8601)
        } else {
            writer.member("next_start", raw: "null".utf8)
        }
        writer.member("bars", raw: columns)
        writer.endObject()
        return writer.bytes
    }
}
