import Contracts

/// How large a job's input is, in the measure of its kind, and which power of two that is.
enum JobSize {
    /// Bars of all inputs for runs of signals, bytes for conversions, days for bars that are made in advance; what the spec says of itself as `size` for
    /// any other kind, and 1 where it says nothing.
    static func measure(kind: JobKind, spec: JSONValue) -> Double {
        let size: Double? =
            switch kind {
            case .signalRun, .dryRun: spec["manifest"]?["inputs"]?.array?.reduce(0) { $0 + ($1["lookback"]?.double ?? 1) }
            case .tableConversion: spec["bytes"]?.double
            case .resampleAll: days(spec["start"]?.string, spec["end"]?.string)
            default: spec["size"]?.double
            }
        return size.map { $0.isFinite ? max(1, $0) : 1 } ?? 1
    }

    /// Sizes of one bucket are within a factor of two of each other.
    static func bucket(kind: JobKind, spec: JSONValue) -> Int16 { Int16(min(62, measure(kind: kind, spec: spec).exponent)) }

    private static func days(_ start: String?, _ end: String?) -> Double? {
        guard let start = start.flatMap({ Timestamp(iso8601: $0) }), let end = end.flatMap({ Timestamp(iso8601: $0) }) else { return nil }
        return Double((end - start).wholeMicroseconds) / 86_400e6
    }
}
