import ServiceRuntime

/// What a feed counts.
struct LiveMetrics: Sendable {
    let closes: Counter
    let versions: Counter
    let corrections: Counter
    let clockJumps: Counter
    let openedHoles: Counter
    let repairedHoles: Counter
    let lostHoles: Counter
    let unreadable: Counter
    let lag: Gauge
    let due: Gauge
    let oldestDue: Gauge
    private let told: [LiveBars.Verdict: Counter]

    init(source: String, metrics: Metrics = .shared) {
        let labels = ["source": source]
        func counter(_ name: String, _ help: String, _ more: [String: String] = [:]) -> Counter {
            metrics.counter(name, help: help, labels: labels.merging(more) { $1 })
        }
        closes = counter("marketdata_live_closes_total", "Intervals that a live feed closed.")
        versions = counter("marketdata_live_versions_total", "Closed intervals that changed by what was told late.")
        corrections = counter("marketdata_live_corrections_total", "Corrections of earlier trades that a source told of.")
        clockJumps = counter("marketdata_live_clock_jumps_total", "Times that the clock of a feed was set.")
        func holes(_ outcome: String) -> Counter {
            counter("marketdata_live_holes_total", "Stretches that a live feed missed, by what became of them.", ["outcome": outcome])
        }
        openedHoles = holes("opened")
        repairedHoles = holes("repaired")
        lostHoles = holes("lost")
        unreadable = counter("marketdata_live_unreadable_total", "Closed bars that an event left out because they could not be read.")
        lag = metrics.gauge(
            "marketdata_live_lag_seconds",
            help: "How long ago the last interval ended that the slowest instrument of a live feed has closed.",
            labels: labels
        )
        due = metrics.gauge(
            "marketdata_live_announcements_due",
            help: "Closes that a live feed has recorded and not announced yet.",
            labels: labels
        )
        oldestDue = metrics.gauge(
            "marketdata_live_announcements_due_oldest_seconds",
            help: "How long ago the oldest of the closes became known that a live feed has not announced yet; 0 if there are none.",
            labels: labels
        )
        told = Dictionary(
            uniqueKeysWithValues: LiveBars.Verdict.allCases.map {
                ($0, counter("marketdata_live_told_total", "Trades and bars that a source told, by what became of them.", ["verdict": $0.rawValue]))
            }
        )
    }

    func count(_ verdict: LiveBars.Verdict) { told[verdict]?.increment() }
}
