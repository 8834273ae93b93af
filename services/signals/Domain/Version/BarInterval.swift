/// The length of a bar as manifests and queries spell it: `15s`, `1m`, `4h`, `1d`, `1w`.
struct BarInterval: Sendable, Hashable {
    let seconds: Int

    /// 52 weeks: no signal reads longer bars.
    static let maximumSeconds = 52 * 604_800

    /// Reads a whole number from 1 and one of `s m h d w`; nil for anything else.
    init?(_ text: String) {
        guard let unit = text.last, let count = Int(text.dropLast()), count > 0, text.first?.isNumber == true, text.first != "0" else { return nil }
        let unitSeconds: Int
        switch unit {
        case "s": unitSeconds = 1
        case "m": unitSeconds = 60
        case "h": unitSeconds = 3_600
        case "d": unitSeconds = 86_400
        case "w": unitSeconds = 604_800
        default: return nil
        }
        let (seconds, overflow) = count.multipliedReportingOverflow(by: unitSeconds)
        guard !overflow else { return nil }
        self.seconds = seconds
    }
}
