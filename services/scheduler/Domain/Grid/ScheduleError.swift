/// Why a schedule cannot be armed.
enum ScheduleError: Error, Sendable, Hashable, CustomStringConvertible {
    case badCron(field: String, text: String)
    case badZone(String)
    case badInterval(String)
    case badInstrument(String)

    var description: String {
        switch self {
        case .badCron(let field, let text): "'\(text)' is no cron \(field)"
        case .badZone(let name): "'\(name)' is no IANA time zone, such as Europe/Berlin"
        case .badInterval(let text): "'\(text)' is no interval of 1 s to 366 days"
        case .badInstrument(let text): "'\(text)' is no instrument"
        }
    }
}
