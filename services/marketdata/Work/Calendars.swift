import Bars
import Contracts
import ServiceRuntime
import Synchronization

/// Calendars by name: those saved in the store go before the built-in ones; looked up again each minute.
final class Calendars: Sendable {
    private let store: any MarketdataStore
    private let time: any TimeSource
    private let known = Mutex<[String: (calendar: ExchangeCalendar, readAt: Timestamp)]>([:])

    init(store: any MarketdataStore, time: any TimeSource) {
        self.store = store
        self.time = time
    }

    func calendar(named name: String) async throws -> ExchangeCalendar {
        let now = time.now()
        if let found = known.withLock({ $0[name] }), now < found.readAt + .seconds(60) { return found.calendar }
        guard let calendar = try await store.calendar(named: name) ?? CalendarCatalogue.all[name] else { throw MarketdataError.unknownCalendar(name) }
        known.withLock { $0[name] = (calendar, now) }
        return calendar
    }
}
