internal import Bars

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
    private let rules: ZoneRules

    init(_ name: String) throws(ScheduleError) {
        // A schedule names a place, or UTC. `right/` counts leap seconds, `posix/` is the same places again.
        guard name == "UTC" || name.contains("/"), !name.hasPrefix("right/"), !name.hasPrefix("posix/"),
            let rules = try? ZoneRules(identifier: name)
        else { throw .badZone(name) }
        self.name = name
        self.rules = rules
    }

    static func == (left: Zone, right: Zone) -> Bool { left.name == right.name }

    func hash(into hasher: inout Hasher) { hasher.combine(name) }

    /// Seconds ahead of UTC at an instant.
    func offset(at instant: Int) -> Int { rules.offset(atUTC: Int64(instant)) }

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
