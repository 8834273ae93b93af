import Contracts

/// What jobs are alike in how long they take.
struct DurationKey: Sendable, Hashable {
    var kind: JobKind
    /// Nil stands for all signals together.
    var signal: SignalID?
    var bucket: Int16

    init(kind: JobKind, signal: SignalID?, bucket: Int16) {
        self.kind = kind
        self.signal = signal
        self.bucket = bucket
    }

    init(kind: JobKind, spec: JSONValue) {
        self.init(
            kind: kind,
            signal: spec["signal_id"]?.string.flatMap { SignalID($0) },
            bucket: JobSize.bucket(kind: kind, spec: spec)
        )
    }

    /// The same of all signals.
    var ofAll: DurationKey { DurationKey(kind: kind, signal: nil, bucket: bucket) }
}

/// How long the last jobs of each kind, size and signal took; estimates from it.
///
/// The estimate is the median of the last jobs that are most alike: of the same signal and size, else of the same size, else of the nearest size, in
/// proportion. The median of some tens of jobs is within a factor of two of most of what comes next, and one job that hung moves it little.
struct DurationModel: Sendable {
    /// How many of the last jobs count.
    static let kept = 32
    /// Fewer than that say nothing.
    static let least = 3

    private var durations: [DurationKey: [Double]] = [:]

    var keys: Int { durations.count }

    /// Takes the last durations of jobs that are alike, newest first, in place of what was known.
    mutating func put(_ seconds: [Double], of key: DurationKey) { durations[key] = Array(seconds.prefix(Self.kept)) }

    /// Adds a job that has ended well.
    mutating func add(_ seconds: Double, of key: DurationKey) {
        for key in key.signal == nil ? [key] : [key, key.ofAll] { durations[key] = Array(([seconds] + (durations[key] ?? [])).prefix(Self.kept)) }
    }

    func estimate(_ key: DurationKey) -> Double? {
        if let known = median(key) ?? median(key.ofAll) { return known }
        // In proportion to the nearest sizes: the smaller one at the same distance, which is not so far off when much of the time is none of the size's.
        for distance in 1...Int16(16) {
            for bucket in [key.bucket - distance, key.bucket + distance] {
                guard let other = median(DurationKey(kind: key.kind, signal: nil, bucket: bucket)) else { continue }
                var scaled = other
                for _ in 0..<distance { scaled = bucket < key.bucket ? scaled * 2 : scaled / 2 }
                return scaled
            }
        }
        return nil
    }

    private func median(_ key: DurationKey) -> Double? {
        guard let known = durations[key], known.count >= Self.least else { return nil }
        let sorted = known.sorted()
        return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
    }
}

extension Job {
    /// How long it ran, if that says something of the next one like it: it ended well at its first attempt.
    var tellingSeconds: Double? {
        guard state == .completed, attempt == 1, let startedAt, let completedAt else { return nil }
        let seconds = Double((completedAt - startedAt).wholeMicroseconds) / 1e6
        return seconds > 0 ? seconds : nil
    }
}
