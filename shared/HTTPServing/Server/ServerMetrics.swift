internal import ServiceRuntime

/// Counts of one loop's requests by route and status; the metric objects are looked up once for each pair.
final class ServerMetrics {
    private let server: String
    private var counters: [Int: Counter] = [:]
    private var histograms: [Int: Histogram] = [:]
    /// Event streams that were ended because their client took too little.
    let slowStreams: Counter

    init(server: String) {
        self.server = server
        slowStreams = Metrics.shared.counter(
            "auspex_http_slow_streams_total",
            help: "Event streams ended because their client took too little.",
            labels: ["server": server]
        )
    }

    func record(route: Route?, status: Int, seconds: Double) {
        let routeIndex = (route?.index ?? -1) + 1
        let key = routeIndex << 10 | status
        if let counter = counters[key] {
            counter.increment()
        } else {
            let counter = Metrics.shared.counter(
                "auspex_http_requests_total",
                help: "Requests answered.",
                labels: [
                    "server": server, "method": route?.method.rawValue ?? "-", "route": route?.pattern ?? "-", "status": String(status),
                ]
            )
            counters[key] = counter
            counter.increment()
        }
        if let histogram = histograms[routeIndex] {
            histogram.observe(seconds)
        } else {
            let histogram = Metrics.shared.histogram(
                "auspex_http_request_seconds",
                help: "Time from the whole head to the answer.",
                labels: ["server": server, "method": route?.method.rawValue ?? "-", "route": route?.pattern ?? "-"]
            )
            histograms[routeIndex] = histogram
            histogram.observe(seconds)
        }
    }
}
