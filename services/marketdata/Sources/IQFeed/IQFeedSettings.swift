import Cryptography
import HTTPServing
import ServiceRuntime

/// Where DTN's client program is, as the service and the watchdog are told. Without `AUSPEX_DTN_HOST` the service has no such source.
struct IQFeedSettings: Sendable {
    let endpoints: IQFeedEndpoints?
    let limits: IQFeedLookupLimits
    /// The internal base URL of the watchdog, where one runs.
    let keepAliveURL: String?

    init(from reader: inout SettingsReader) {
        let host = reader.optionalString("AUSPEX_DTN_HOST", help: "host of DTN's IQFeed client program; the source exists only with it")
        let ports = Self.ports(from: &reader)
        endpoints = host.map { IQFeedEndpoints(host: $0, ports: ports) }
        var limits = IQFeedLookupLimits()
        limits.requestsPerSecond = reader.integer(
            "AUSPEX_DTN_REQUESTS_PER_SECOND",
            help: "new history requests to IQFeed a second at most",
            default: limits.requestsPerSecond,
            range: 1...1_000
        )
        limits.sockets = reader.integer(
            "AUSPEX_DTN_SOCKETS",
            help: "connections to IQFeed's lookup port at most",
            default: limits.sockets,
            range: 1...15
        )
        self.limits = limits
        keepAliveURL = reader.optionalString("AUSPEX_DTN_KEEPALIVE_URL", help: "internal base URL of marketdata iqfeed-keepalive, if one runs")
        if let keepAliveURL, !keepAliveURL.hasPrefix("http://") { reader.report("AUSPEX_DTN_KEEPALIVE_URL must be a URL that begins with http://") }
    }

    /// The ports of the client program's doors.
    static func ports(from reader: inout SettingsReader) -> [IQFeedDoor: Int] {
        var ports: [IQFeedDoor: Int] = [:]
        for door in IQFeedDoor.allCases {
            ports[door] = reader.integer(
                "AUSPEX_DTN_\(door.rawValue.uppercased())_PORT",
                help: "port of IQFeed's door \(door.rawValue)",
                default: door.usualPort,
                range: 1...65_535
            )
        }
        return ports
    }
}

extension IQFeedSettings {
    /// The source, if its settings are present; on a loop of its own unless one is given, as long answers would hold others up.
    func source(tokens: ServiceTokenSource, loop given: EventLoop? = nil, cpu: CPUPool, time: any TimeSource) throws -> IQFeedSource? {
        guard let endpoints else { return nil }
        let loop = try given ?? EventLoop.start(name: "iqfeed")
        var connector = IQFeedConnector(endpoints: endpoints, loop: loop, time: time)
        if let keepAliveURL {
            let keepAlive = ServiceClient(baseURLs: [keepAliveURL], audience: "marketdata", tokens: tokens, http: HTTPClient(), rounds: 1, time: time)
            connector.makeSure = { try await KeepAliveAnswer.ask(keepAlive) }
        }
        return try IQFeedSource(connector: connector, limits: limits, cpu: cpu)
    }

    /// What stands in the list of sources.
    static func entry(_ source: IQFeedSource?) -> SourceCatalogue.Entry {
        if let source { return .configured(source) }
        let defaults = IQFeedLookupLimits()
        return .absent(
            IQFeedSource.description(requestsPerSecond: defaults.requestsPerSecond, sockets: defaults.sockets),
            settings: "AUSPEX_DTN_HOST"
        )
    }
}
