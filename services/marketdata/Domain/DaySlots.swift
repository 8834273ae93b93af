import Bars

/// The slots of a UTC day in which bars of an interval begin, one bit a slot, the lowest bit of the first byte first: small enough to draw a year of.
///
/// A slot is as long as the interval, a minute at least; where that does not divide the day, the next length that does. Bars of a day and more have one.
struct DaySlots: Sendable, Equatable {
    let seconds: Int

    init(intervalSeconds: Int) {
        var seconds = min(max(intervalSeconds, 60), 86_400)
        while 86_400 % seconds != 0 { seconds += 1 }
        self.seconds = seconds
    }

    /// How many there are in a day.
    var count: Int { 86_400 / seconds }

    /// No bit set.
    var none: [UInt8] { [UInt8](repeating: 0, count: (count + 7) / 8) }

    /// The slots in which bars of the day begin.
    func bits(of starts: [Int64], day: CivilDay) -> [UInt8] {
        var bits = none
        let midnight = day.seconds * 1_000_000
        for start in starts {
            let slot = Int(floorDivide(start - midnight, Int64(seconds) * 1_000_000))
            if (0..<count).contains(slot) { bits[slot / 8] |= 1 << UInt8(slot % 8) }
        }
        return bits
    }

    /// The slots of the day that a stretch of time touches; nothing where it lies outside.
    func range(of stretch: Range<Int64>, day: CivilDay) -> Range<Int>? {
        let midnight = day.seconds * 1_000_000
        let inside = stretch.clamped(to: midnight..<midnight + 86_400_000_000)
        guard !inside.isEmpty else { return nil }
        let length = Int64(seconds) * 1_000_000
        return Int((inside.lowerBound - midnight) / length)..<Int((inside.upperBound - midnight + length - 1) / length)
    }

    static func isSet(_ slot: Int, in bits: [UInt8]) -> Bool { bits[slot / 8] & 1 << UInt8(slot % 8) != 0 }
}
