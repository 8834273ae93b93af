import Bars
import HTTPServing

/// Resolutions as TradingView's library spells them: `15S`, `60` (minutes, never `1h`), `1D`, `1W`, `1M`; the 1 may be left out before a letter.
enum UDFResolution {
    static let seconds = [1, 5, 10, 15, 30]
    static let minutes = [1, 3, 5, 15, 30, 45, 60, 120, 180, 240]
    static let long: [(text: String, interval: BarInterval)] = [("1D", .days(1)), ("1W", .weeks(1)), ("1M", .months(1))]

    /// Those that a menu offers; any other multiple of a stored interval is answered as well.
    static let all: [String] = seconds.map { "\($0)S" } + minutes.map { "\($0)" } + long.map(\.text)

    static func interval(_ text: String) throws -> BarInterval {
        guard let interval = read(text), interval.seconds <= 366 * 86_400 else {
            throw Problem.badRequest(
                code: "invalid_resolution",
                detail: "resolution is like 1S, 15S, 1, 60, 1D, 1W or 1M (plain numbers are minutes), at most 12M.",
                field: "resolution"
            )
        }
        return interval
    }

    private static func read(_ text: String) -> BarInterval? {
        let digits = text.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard digits.count <= 7 else { return nil }
        let unit = text.dropFirst(digits.count)
        let number = digits.isEmpty ? 1 : Int(Substring(digits)) ?? 0
        guard number > 0, !text.isEmpty else { return nil }
        switch unit {
        case "S": return BarInterval(seconds: number)
        case "": return BarInterval(seconds: number * 60)
        case "D": return .days(number)
        case "W": return .weeks(number)
        case "M": return .months(number)
        default: return nil
        }
    }
}
