/// Why a schedule cannot be armed.
public enum ScheduleError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A field of a cron expression, or the expression as a whole.
    case badCron(field: String, text: String)
    /// A time zone.
    case badZone(String)
    /// A length of time between runs, or of a bar.
    case badInterval(String)
    /// Bars that close too often for anybody to be told.
    case barTooShort(String)
    /// The symbol of an instrument.
    case badInstrument(String)
    /// What a policy says.
    case badPolicy(key: String, message: String)

    /// In words for who wrote the schedule.
    public var description: String {
        switch self {
        case .badCron(let field, let text): "'\(text)' is no cron \(field)"
        case .badZone(let name): "'\(name)' is no IANA time zone of a place, such as Europe/Berlin, nor UTC"
        case .badInterval(let text): "'\(text)' is no interval of 1 s to 366 days"
        case .barTooShort(let text): "bars of '\(text)' set off no runs: the shortest that do are 5s"
        case .badInstrument(let text): "'\(text)' is no instrument"
        case .badPolicy(let key, let message): "\(key) \(message)"
        }
    }
}
