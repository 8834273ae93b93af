import Foundation

/// An IANA time zone: how far local clocks are ahead of UTC at an instant. Instants are seconds since 1970; local times are counted the same way,
/// as if they were UTC.
struct Zone: Sendable, Hashable {
    /// A moment at which local clocks change.
    struct Transition: Sendable, Hashable {
        /// The first instant with the new offset.
        let instant: Int
        let before: Int
        let after: Int

        /// Local times that never are; empty where clocks go back.
        var gap: Range<Int> { after > before ? instant + before..<instant + after : 0..<0 }
        /// Local times that come twice; empty where clocks go forward.
        var repeated: Range<Int> { before > after ? instant + after..<instant + before : 0..<0 }
    }

    let name: String
    private let zone: TimeZone

    init(_ name: String) throws(ScheduleError) {
        // Foundation also takes abbreviations and "GMT+2"; a schedule names a place, or UTC.
        guard name == "UTC" || name.contains("/"), name.utf8.count <= 64, let zone = TimeZone(identifier: name) else { throw .badZone(name) }
        self.name = name
        self.zone = zone
    }

    /// Seconds ahead of UTC at an instant.
    func offset(at instant: Int) -> Int { zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant))) }

    /// The change of clocks within a day of an instant; nil if there is none.
    func transition(around instant: Int) -> Transition? {
        var low = instant - 86_400
        var high = instant + 86_400
        let before = offset(at: low)
        let after = offset(at: high)
        if before == after { return nil }
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if offset(at: middle) == before { low = middle } else { high = middle }
        }
        return Transition(instant: high, before: before, after: after)
    }
}
