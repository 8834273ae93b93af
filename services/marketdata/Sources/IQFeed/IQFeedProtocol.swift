import Bars
import Contracts

/// The doors of DTN's client program.
enum IQFeedDoor: String, Sendable, CaseIterable {
    case lookup, level1, derivatives, admin

    /// Where the door usually is.
    var usualPort: Int {
        switch self {
        case .lookup: 9100
        case .level1: 5009
        case .derivatives: 9400
        case .admin: 9300
        }
    }
}

/// The protocols that are spoken here, the best first.
enum IQFeedVersion: String, Sendable, CaseIterable {
    case v62 = "6.2"
    case v61 = "6.1"

    /// Whether rows of history begin with `LH`.
    var marksRows: Bool { self == .v62 }
}

/// The clock that all of IQFeed's times are on.
struct IQFeedClock: Sendable {
    let zone: ZoneRules

    init() throws { zone = try ZoneRules(identifier: "America/New_York") }

    /// `CCYYMMDD HHmmSS` in New York.
    func stamp(_ moment: Timestamp) -> String {
        let local = moment.seconds + Int64(zone.offset(atUTC: moment.seconds))
        let second = Int(local - floorDivide(local, 86_400) * 86_400)
        return "\(date(moment)) \(padded(second / 3_600))\(padded(second / 60 % 60))\(padded(second % 60))"
    }

    /// The date in New York, `CCYYMMDD`, so many days on.
    func date(_ moment: Timestamp, plus days: Int = 0) -> String {
        let local = moment.seconds + Int64(zone.offset(atUTC: moment.seconds))
        return (CivilDay(number: Int(floorDivide(local, 86_400))) + days).text.filter { $0 != "-" }
    }

    /// The moment at which clocks in New York show what the text says; microseconds since 1970.
    func moment(_ text: String) -> Timestamp? {
        var text = text
        return text.withUTF8 { bytes in
            guard let stamp = TimeText.parse(bytes), !stamp.isDateOnly else { return nil }
            return moment(local: stamp.microseconds)
        }
    }

    /// The moment at which clocks in New York show this time.
    func moment(local microseconds: Int64) -> Timestamp {
        let seconds = floorDivide(microseconds, 1_000_000)
        return Timestamp(microseconds: zone.utc(fromLocal: seconds) * 1_000_000 + (microseconds - seconds * 1_000_000))
    }

    private func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }
}

/// Symbols as IQFeed takes them.
enum IQFeedSymbol {
    /// Refuses what cannot be a symbol: it would become part of a command.
    static func check(_ symbol: String) throws(SourceError) {
        let good =
            !symbol.isEmpty && symbol.utf8.count <= 30
            && symbol.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x2C && !($0 >= 0x61 && $0 <= 0x7A) }
        guard good else { throw .notSupported("a symbol has 1 to 30 printable characters, without commas and small letters") }
    }
}
