internal import Synchronization

/// The process's figures, rendered in the Prometheus text format.
///
/// A metric is made once and kept: making it again with the same name and labels gives the same one.
public final class Metrics: Sendable {
    /// The registry of this process.
    public static let shared = Metrics()

    private struct Family {
        let help: String
        let kind: String
        var members: [String: any Metric] = [:]
    }

    private let families = Mutex<[String: Family]>([:])

    /// An empty registry, for tests.
    public init() {}

    /// A figure that only rises.
    public func counter(_ name: String, help: String, labels: [String: String] = [:]) -> Counter {
        member(name, help: help, kind: "counter", labels: labels) { Counter() }
    }

    /// A figure that rises and falls.
    public func gauge(_ name: String, help: String, labels: [String: String] = [:]) -> Gauge {
        member(name, help: help, kind: "gauge", labels: labels) { Gauge() }
    }

    /// A distribution of seconds (or another unit that the name ends with).
    public func histogram(
        _ name: String,
        help: String,
        buckets: [Double] = Histogram.latencyBuckets,
        labels: [String: String] = [:]
    ) -> Histogram {
        member(name, help: help, kind: "histogram", labels: labels) { Histogram(buckets: buckets) }
    }

    /// The page that a Prometheus server reads.
    public func render() -> String {
        let families = families.withLock { $0 }
        var text = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            text += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.kind)\n"
            for (labels, metric) in family.members.sorted(by: { $0.key < $1.key }) { metric.render(name: name, labels: labels, into: &text) }
        }
        return text
    }

    private func member<M: Metric>(_ name: String, help: String, kind: String, labels: [String: String], _ make: () -> M) -> M {
        let key = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
        return families.withLock { families in
            var family = families[name] ?? Family(help: help, kind: kind)
            precondition(family.kind == kind, "metric \(name) is a \(family.kind), not a \(kind)")
            if let existing = family.members[key] as? M { return existing }
            let metric = make()
            family.members[key] = metric
            families[name] = family
            return metric
        }
    }

    private static func escaped(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}

protocol Metric: Sendable {
    func render(name: String, labels: String, into text: inout String)
}

/// A figure that only rises.
public final class Counter: Metric {
    private let value = Atomic<Int>(0)

    /// Adds to the figure.
    public func increment(by amount: Int = 1) {
        value.wrappingAdd(amount, ordering: .relaxed)
    }

    /// The figure now.
    public var current: Int { value.load(ordering: .relaxed) }

    func render(name: String, labels: String, into text: inout String) {
        text += labels.isEmpty ? "\(name) \(current)\n" : "\(name){\(labels)} \(current)\n"
    }
}

/// A figure that rises and falls.
public final class Gauge: Metric {
    private let value = Mutex<Double>(0)

    /// Sets the figure.
    public func set(_ newValue: Double) {
        value.withLock { $0 = newValue }
    }

    /// Adds to the figure, or takes away.
    public func add(_ amount: Double) {
        value.withLock { $0 += amount }
    }

    /// The figure now.
    public var current: Double { value.withLock { $0 } }

    func render(name: String, labels: String, into text: inout String) {
        text += labels.isEmpty ? "\(name) \(current)\n" : "\(name){\(labels)} \(current)\n"
    }
}

/// A distribution in fixed buckets.
public final class Histogram: Metric {
    /// Buckets from half a millisecond to ten seconds.
    public static let latencyBuckets: [Double] = [
        0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    private struct State {
        var counts: [Int]
        var sum = 0.0
        var total = 0
    }

    private let buckets: [Double]
    private let state: Mutex<State>

    init(buckets: [Double]) {
        self.buckets = buckets
        state = Mutex(State(counts: Array(repeating: 0, count: buckets.count)))
    }

    /// Adds one observation.
    public func observe(_ value: Double) {
        let index = buckets.firstIndex { value <= $0 }
        state.withLock { state in
            if let index { state.counts[index] += 1 }
            state.sum += value
            state.total += 1
        }
    }

    /// How many observations there were.
    public var count: Int { state.withLock { $0.total } }

    func render(name: String, labels: String, into text: inout String) {
        let snapshot = state.withLock { $0 }
        let prefix = labels.isEmpty ? "" : labels + ","
        var running = 0
        for (index, bound) in buckets.enumerated() {
            running += snapshot.counts[index]
            text += "\(name)_bucket{\(prefix)le=\"\(bound)\"} \(running)\n"
        }
        text += "\(name)_bucket{\(prefix)le=\"+Inf\"} \(snapshot.total)\n"
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        text += "\(name)_sum\(braces) \(snapshot.sum)\n\(name)_count\(braces) \(snapshot.total)\n"
    }
}
