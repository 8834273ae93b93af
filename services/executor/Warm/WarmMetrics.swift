import ServiceRuntime

/// What operators see of the pool.
struct WarmMetrics: Sendable {
    /// Why a sandbox was not used.
    enum Reason: String {
        case evicted, replaced, unused, failed, ended, draining
    }

    private let idle = Metrics.shared.gauge("auspex_warm_sandboxes", help: "Sandboxes ahead of their runs.", labels: ["state": "idle"])
    private let making = Metrics.shared.gauge("auspex_warm_sandboxes", help: "Sandboxes ahead of their runs.", labels: ["state": "making"])
    private let bytes = Metrics.shared.gauge("auspex_warm_bytes", help: "Memory that sandboxes ahead of their runs count with.")
    private let hits = Self.takes("hit")
    private let misses = Self.takes("miss")

    private static func takes(_ outcome: String) -> Counter {
        Metrics.shared.counter("auspex_warm_takes_total", help: "Runs that asked for a warm sandbox.", labels: ["outcome": outcome])
    }

    func size(idle: Int, making: Int, bytes: Int) {
        self.idle.set(Double(idle))
        self.making.set(Double(making))
        self.bytes.set(Double(bytes))
    }

    func taken(isHit: Bool) { (isHit ? hits : misses).increment() }

    func discarded(_ reason: Reason) {
        Metrics.shared.counter(
            "auspex_warm_discarded_total",
            help: "Warm sandboxes that no run used.",
            labels: ["reason": reason.rawValue]
        ).increment()
    }
}
