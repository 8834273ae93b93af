import ServiceRuntime

/// How much streams of bars may take.
struct StreamSettings: Sendable {
    /// Topics of one stream.
    static let topicsPerStream = 64
    /// Streams that this replica serves at once.
    var listeners = 4_000
    /// Topics that this replica follows at once, however many listen to each.
    var topics = 4_000
    /// Bars of a topic that a stream is sent at once; one that has missed more begins anew.
    var bars = 5_000

    init() {}

    init(from reader: inout SettingsReader) {
        listeners = reader.integer(
            "AUSPEX_STREAM_LISTENERS",
            help: "streams of bars at once on this replica; more get 429",
            default: listeners,
            range: 1...100_000
        )
        topics = reader.integer(
            "AUSPEX_STREAM_TOPICS",
            help: "intervals of instruments that this replica follows for streams; more get 429",
            default: topics,
            range: 1...100_000
        )
    }
}
