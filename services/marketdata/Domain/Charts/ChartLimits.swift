import ServiceRuntime

/// How long chart sessions live, and how much they may hold.
struct ChartLimits: Sendable {
    /// A session ends so long after its last heartbeat.
    var sessionLifetime = Duration.seconds(1_800)
    /// So long the parts of a chart can be read.
    var requestLifetime = Duration.seconds(3_600)
    /// Sessions of one account at once.
    var sessionsPerAccount = 1_000
    /// Charts of one session that can be read on; with one more the oldest one ends.
    var requestsPerSession = 1_000
    /// Bytes of encoded answers that are kept in memory.
    var cachedBytes = 64 << 20
    /// From which pages browsers may read charts: of these origins, of any (`*`), of none but ours (empty).
    var origins: [String] = ["*"]
    /// The most points of one answer.
    static let points = 5_000

    /// How often a client had better say that it is still there: every minute of the usual half hour, so that many may be lost.
    var heartbeat: Duration { .seconds(max(1, sessionLifetime.components.seconds / 30)) }

    init() {}

    init(from reader: inout SettingsReader) {
        sessionLifetime = .seconds(
            reader.integer(
                "AUSPEX_CHART_SESSION_SECONDS",
                help: "a chart session ends so long after its last heartbeat",
                default: 1_800,
                range: 10...86_400
            )
        )
        requestLifetime = .seconds(
            reader.integer("AUSPEX_CHART_REQUEST_SECONDS", help: "so long the parts of a chart can be read", default: 3_600, range: 10...86_400)
        )
        sessionsPerAccount = reader.integer(
            "AUSPEX_CHART_SESSIONS_PER_ACCOUNT",
            help: "chart sessions of one account at once",
            default: sessionsPerAccount,
            range: 1...100_000
        )
        cachedBytes =
            reader.integer("AUSPEX_CHART_CACHE_MIB", help: "MiB of encoded charts kept in memory", default: 64, range: 1...65_536) << 20
        let text = reader.string(
            "AUSPEX_CHART_ORIGINS",
            help:
                "pages that may read charts from a browser: origins such as https://charts.example.org with commas between, * for any, none for ours only",
            default: "*"
        )
        origins = text == "none" ? [] : text.split(separator: ",").map { $0.filter { $0 != " " } }
        for origin in origins where origin != "*" && !Self.isOrigin(origin) {
            reader.report("AUSPEX_CHART_ORIGINS: \(origin) is no origin such as https://charts.example.org")
        }
    }

    private static func isOrigin(_ text: String) -> Bool {
        guard let scheme = ["http://", "https://"].first(where: text.hasPrefix) else { return false }
        let rest = text.dropFirst(scheme.count)
        return !rest.isEmpty && rest.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x2F }
    }
}
