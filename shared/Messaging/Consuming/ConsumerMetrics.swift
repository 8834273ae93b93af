internal import ServiceRuntime

/// The figures of one consumer.
struct ConsumerMetrics: Sendable {
    private let outcomes: [String: Counter]
    private let seconds: Histogram

    init(queue: String) {
        var outcomes: [String: Counter] = [:]
        for outcome in ["done", "duplicate", "retry", "dead", "away"] {
            outcomes[outcome] = Metrics.shared.counter(
                "auspex_events_handled_total",
                help: "Events that a consumer took, by what became of them.",
                labels: ["queue": queue, "outcome": outcome]
            )
        }
        self.outcomes = outcomes
        seconds = Metrics.shared.histogram(
            "auspex_event_handling_seconds",
            help: "Time from taking an event to the end of its transaction.",
            labels: ["queue": queue]
        )
    }

    func handled(_ outcome: HandlerOutcome, seconds elapsed: Double) {
        seconds.observe(elapsed)
        switch outcome {
        case .done: outcomes["done"]?.increment()
        case .retry: outcomes["retry"]?.increment()
        case .deadLetter: outcomes["dead"]?.increment()
        case .dependencyAway: outcomes["away"]?.increment()
        }
    }

    func duplicate() { outcomes["duplicate"]?.increment() }
}
