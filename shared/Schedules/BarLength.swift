internal import Contracts

/// The length of a bar as it is written: `15s`, `1m`, `4h`, `1d`.
public enum BarLength {
    /// In seconds.
    public static func seconds(of text: String) throws(ScheduleError) -> Int {
        let units: [Character: Int] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800]
        guard let last = text.last, let unit = units[last], let number = Int(text.dropLast()), (1...86_400).contains(number) else {
            throw .badInterval(text)
        }
        let seconds = number * unit
        guard (1...Cadence.maximumIntervalSeconds).contains(seconds) else { throw .badInterval(text) }
        return seconds
    }
}
