import ServiceRuntime

/// How feeds close bars.
struct LiveFeedSettings: Sendable {
    /// Whether this replica takes part in running feeds.
    var runs = true
    /// How long after its end a bar closes, of each source that has a setting of its own.
    var latenessMilliseconds: [String: Int] = [:]
    /// The same of the others.
    var usualLatenessMilliseconds = 250
    /// How long a hole is asked for, before what the source could not give is lost.
    var patienceSeconds = 120

    init() {}

    init(from reader: inout SettingsReader) {
        runs = reader.boolean("AUSPEX_RUN_FEEDS", help: "whether this replica takes part in running live feeds", default: runs)
        patienceSeconds = reader.integer(
            "AUSPEX_LIVE_PATIENCE_SECONDS",
            help: "how long a hole of a live feed is asked for as history before it is lost; bars wait so long",
            default: patienceSeconds,
            range: 10...3_600
        )
        let text = reader.string(
            "AUSPEX_LIVE_LATENESS_MS",
            help: "how long after its end a live bar closes, such as 250, or 250,iqfeed=500 where a source differs; 0 to 60000",
            default: "\(usualLatenessMilliseconds)"
        )
        for part in text.split(separator: ",") {
            let words = part.split(separator: "=").map { $0.trimmed }
            guard let last = words.last, let milliseconds = Int(last), (0...60_000).contains(milliseconds), words.count <= 2 else {
                reader.report("AUSPEX_LIVE_LATENESS_MS must be like 250 or 250,iqfeed=500, each 0 to 60000")
                return
            }
            if words.count == 2 { latenessMilliseconds[words[0]] = milliseconds } else { usualLatenessMilliseconds = milliseconds }
        }
    }

    /// The rules for bars of a source.
    func rules(of source: String, lengthMicroseconds: Int64) -> LiveBars.Rules {
        var rules = LiveBars.Rules()
        rules.length = lengthMicroseconds
        rules.lateness = Int64(latenessMilliseconds[source] ?? usualLatenessMilliseconds) * 1_000
        // Some hundred intervals, however long they are.
        rules.memory = max(rules.memory, lengthMicroseconds * 100)
        return rules
    }
}

extension Substring {
    fileprivate var trimmed: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}
