internal import ServiceRuntime

/// The figures of one relay.
struct RelayMetrics: Sendable {
    private let confirmed: Counter
    private let returned: Counter
    private let failures: Counter
    private let delay: Histogram

    init(schema: String) {
        func counter(_ outcome: String) -> Counter {
            Metrics.shared.counter(
                "auspex_outbox_published_total",
                help: "Events that the relay published, by what became of them (failed: windows).",
                labels: ["schema": schema, "outcome": outcome]
            )
        }
        confirmed = counter("confirmed")
        returned = counter("unroutable")
        failures = counter("failed")
        delay = Metrics.shared.histogram(
            "auspex_outbox_delay_seconds",
            help: "Time from appending an event to the broker's confirm.",
            labels: ["schema": schema]
        )
    }

    func sent(delaySeconds: Double) {
        confirmed.increment()
        delay.observe(delaySeconds)
    }

    func unroutable() { returned.increment() }
    func failed() { failures.increment() }
}
