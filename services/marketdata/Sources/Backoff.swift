/// How long to wait before the next try: twice as long after each failure, up to a limit, with a fifth more or less so that many do not come at once.
struct Backoff: Sendable {
    let first: Duration
    let longest: Duration
    /// Failures in a row.
    private(set) var failures = 0
    /// A number from 0 to 1.
    private let random: @Sendable () -> Double

    init(first: Duration, longest: Duration, random: @escaping @Sendable () -> Double = { .random(in: 0...1) }) {
        self.first = first
        self.longest = longest
        self.random = random
    }

    /// The wait before the next try; none before a first failure.
    var delay: Duration {
        guard failures > 0 else { return .zero }
        let doubled = first * (1 << min(failures - 1, 20))
        return min(doubled, longest) * (0.8 + 0.4 * random())
    }

    mutating func failed() { failures += 1 }

    mutating func succeeded() { failures = 0 }
}
