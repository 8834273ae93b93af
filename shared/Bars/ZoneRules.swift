#if canImport(Glibc)
    import Glibc
#endif
import Synchronization

/// The offsets of one IANA time zone, read once from the machine's zoneinfo, so that converting a million rows asks nobody.
///
/// Foundation's named time zones load ICU (some 10 MB a process); bars need only offsets, and fast.
public struct ZoneRules: Sendable {
    /// The IANA name, such as `America/New_York`.
    public let identifier: String
    private let transitions: [Int64]
    private let offsets: [Int]
    private let first: Int
    private let rule: PosixZoneRule?

    /// UTC: no transitions, offset 0.
    public static let utc = ZoneRules(identifier: "UTC", transitions: [], offsets: [], first: 0, rule: nil)

    /// Whether local time is always UTC.
    public var isUTC: Bool { transitions.isEmpty && rule == nil && first == 0 }

    private static let cache = Mutex<[String: ZoneRules]>([:])

    private init(identifier: String, transitions: [Int64], offsets: [Int], first: Int, rule: PosixZoneRule?) {
        self.identifier = identifier
        self.transitions = transitions
        self.offsets = offsets
        self.first = first
        self.rule = rule
    }

    /// Reads the zone from `/usr/share/zoneinfo`; each is read once a process.
    public init(identifier: String) throws(BarsError) {
        if identifier == "UTC" {
            self = .utc
            return
        }
        if let known = Self.cache.withLock({ $0[identifier] }) {
            self = known
            return
        }
        let allowed = identifier.utf8.allSatisfy { byte in
            (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5A) || (byte >= 0x61 && byte <= 0x7A)
                || [0x2F, 0x5F, 0x2B, 0x2D].contains(byte)
        }
        guard allowed, !identifier.isEmpty, !identifier.hasPrefix("/"), identifier.utf8.count < 64,
            let bytes = readWholeFile("/usr/share/zoneinfo/" + identifier), let rules = Self.parse(identifier, bytes)
        else { throw BarsError.unknownTimeZone(identifier) }
        Self.cache.withLock { $0[identifier] = rules }
        self = rules
    }

    /// Seconds to add to UTC to get local time at an instant (seconds since 1970 UTC).
    public func offset(atUTC seconds: Int64) -> Int {
        guard let last = transitions.last else { return rule?.offset(atUTC: seconds) ?? first }
        if seconds >= last, let rule { return rule.offset(atUTC: seconds) }
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle] <= seconds { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? first : offsets[low - 1]
    }

    /// The instant at which local clocks show the given time: the first of two when it repeats, the end of the gap when it is skipped.
    public func utc(fromLocal local: Int64) -> Int64 {
        let before = offset(atUTC: local - 86_400)
        let after = offset(atUTC: local + 86_400)
        let early = local - Int64(before)
        if offset(atUTC: early) == before { return early }
        let late = local - Int64(after)
        if offset(atUTC: late) == after { return late }
        // Skipped: clocks jump from `before` to `after` at some instant between the two readings.
        var low = min(early, late)
        var high = max(early, late)
        while low < high {
            let middle = floorDivide(low + high, 2)
            if offset(atUTC: middle) == after { high = middle } else { low = middle + 1 }
        }
        return low
    }

    private static func parse(_ identifier: String, _ bytes: [UInt8]) -> ZoneRules? {
        func number(_ at: Int, _ width: Int) -> Int64? {
            guard at >= 0, at + width <= bytes.count else { return nil }
            var value: Int64 = (bytes[at] & 0x80) != 0 ? -1 : 0
            for index in at..<at + width { value = value << 8 | Int64(bytes[index]) }
            return value
        }
        struct Header {
            var utc = 0, standard = 0, leaps = 0, times = 0, types = 0, characters = 0
            func length(_ width: Int) -> Int { times * width + times + types * 6 + characters + leaps * (width + 4) + standard + utc }
        }
        func header(_ at: Int) -> Header? {
            guard at + 44 <= bytes.count, bytes[at..<at + 4].elementsEqual("TZif".utf8) else { return nil }
            let counts = (0..<6).map { Int(number(at + 20 + $0 * 4, 4) ?? 0) }
            guard counts.allSatisfy({ $0 >= 0 && $0 < 1_000_000 }) else { return nil }
            return Header(utc: counts[0], standard: counts[1], leaps: counts[2], times: counts[3], types: counts[4], characters: counts[5])
        }
        guard let old = header(0), bytes.count > 44, bytes[4] >= 0x32 else { return nil }
        let start = 44 + old.length(4)
        guard let found = header(start), found.types > 0 else { return nil }
        let times = start + 44
        let indices = times + found.times * 8
        let types = indices + found.times
        let footer = start + 44 + found.length(8)
        guard footer <= bytes.count else { return nil }
        var transitions: [Int64] = []
        var offsets: [Int] = []
        for index in 0..<found.times {
            let type = Int(bytes[indices + index])
            guard type < found.types, let time = number(times + index * 8, 8), let offset = number(types + type * 6, 4) else { return nil }
            transitions.append(time)
            offsets.append(Int(offset))
        }
        guard let first = number(types, 4) else { return nil }
        let tail = bytes[footer...].filter { $0 != 0x0A }
        let rule = PosixZoneRule(String(decoding: tail, as: UTF8.self))
        return ZoneRules(identifier: identifier, transitions: transitions, offsets: offsets, first: Int(first), rule: rule)
    }
}

func readWholeFile(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 { return nil }
        if count == 0 { return bytes }
        bytes.append(contentsOf: buffer[0..<count])
    }
}
