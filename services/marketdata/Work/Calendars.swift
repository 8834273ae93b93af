import Bars
import Contracts
import Cryptography
import ServiceRuntime
import Synchronization

/// A calendar with what tells it from others of its name.
struct KnownCalendar: Sendable {
    let calendar: ExchangeCalendar
    /// Equal for equal calendars, in every process.
    let fingerprint: String

    init(_ calendar: ExchangeCalendar) {
        self.calendar = calendar
        fingerprint = SHA256.digest(utf8: calendar.text).hex
    }
}

/// Calendars by name: those saved in the store go before the built-in ones; looked up again each minute.
final class Calendars: Sendable {
    private let store: any MarketdataStore
    private let time: any TimeSource
    private let known = Mutex<[String: (calendar: KnownCalendar, readAt: Timestamp)]>([:])

    init(store: any MarketdataStore, time: any TimeSource) {
        self.store = store
        self.time = time
    }

    func calendar(named name: String) async throws -> ExchangeCalendar { try await known(name).calendar }

    /// The same for who keeps what is made by it.
    func known(_ name: String) async throws -> KnownCalendar {
        let now = time.now()
        if let found = known.withLock({ $0[name] }), now < found.readAt + .seconds(60) { return found.calendar }
        guard let calendar = try await store.calendar(named: name) ?? CalendarCatalogue.all[name] else { throw MarketdataError.unknownCalendar(name) }
        let found = KnownCalendar(calendar)
        known.withLock { $0[name] = (found, now) }
        return found
    }
}

extension ExchangeCalendar {
    /// Everything that a calendar says, in one order.
    fileprivate var text: String {
        func text(_ hours: [SessionHours?]) -> String { hours.map { $0.map { "\($0.open)-\($0.close)" } ?? "closed" }.joined(separator: ",") }
        func text(_ days: [CivilDay: Int]) -> String {
            days.sorted { $0.key < $1.key }.map { "\($0.key.number):\($0.value)" }.joined(separator: ",")
        }
        return """
            \(name) \(timeZone) \(boundarySeconds)
            \(text(regular)) \(text(extended)) \(breaks.map(text) ?? "none")
            \(holidays.map(\.number).sorted())
            \(text(earlyCloses)) \(text(lateOpens))
            """
    }
}
