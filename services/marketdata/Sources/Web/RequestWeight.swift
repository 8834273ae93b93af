import Bars
import Contracts

/// What requests of the running minute weigh together, where a source counts them so. No I/O.
struct RequestWeight: Sendable {
    let perMinute: Int
    private var minute: Int64 = .min
    private(set) var used = 0

    init(perMinute: Int) { self.perMinute = perMinute }

    /// Takes room for a request; or says how long to wait for the next minute, and takes nothing.
    mutating func reserve(_ weight: Int, now: Timestamp) -> Duration {
        begin(now)
        // What is heavier than a whole minute allows goes alone.
        guard used == 0 || used + weight <= perMinute else { return Timestamp(seconds: (minute + 1) * 60) - now }
        used += weight
        return .zero
    }

    /// The source says how much it has counted, requests of others at the same address included.
    mutating func note(_ counted: Int, now: Timestamp) {
        begin(now)
        used = max(used, counted)
    }

    private mutating func begin(_ now: Timestamp) {
        let current = floorDivide(now.seconds, 60)
        guard current != minute else { return }
        minute = current
        used = 0
    }
}
