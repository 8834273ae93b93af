import ServiceRuntime

/// What streams of bars count.
enum StreamMetrics {
    static let listeners = Metrics.shared.gauge("marketdata_stream_listeners", help: "Streams of bars that this replica serves.")
    static let topics = Metrics.shared.gauge("marketdata_stream_topics", help: "Intervals of instruments that this replica follows for streams.")
    static let resets = Metrics.shared.counter("marketdata_stream_resets_total", help: "Times that a topic had missed more than a stream repeats.")
    static let readSeconds = Metrics.shared.histogram(
        "marketdata_stream_read_seconds",
        help: "From the news that something is known to the events that say what."
    )
}
