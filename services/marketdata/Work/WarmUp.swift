import Bars
import Contracts
import ServiceRuntime

/// Asks on each serving loop, as soon as it starts, what requests ask most: of nothing that there is, so that nothing comes of it but connections that
/// know the statements and the tables. Otherwise the first request after a start pays for that, some ten milliseconds.
final class WarmUp: Component {
    let name = "warm-up"
    private let store: any MarketdataStore
    private let calendars: Calendars
    private let loops: [EventLoop]
    private let work: [BackgroundTask]

    init(store: any MarketdataStore, calendars: Calendars, loops: [EventLoop]) {
        self.store = store
        self.calendars = calendars
        self.loops = loops
        work = loops.map { _ in BackgroundTask() }
    }

    /// Waits for nothing, and does not fail when the store is away: then the first request pays.
    func start() async throws {
        for (loop, task) in zip(loops, work) { task.start(on: loop) { [self] in _ = try? await round() } }
    }

    func stop() async { for task in work { await task.stop() } }

    /// One of each.
    func round() async throws {
        let nobody = InstrumentID.make()
        let series = SeriesKey(intervalSeconds: 1, side: .trade, origin: .imported)
        let day = CivilDay(number: 0)
        _ = try await store.description(of: "")
        for name in CalendarCatalogue.all.keys { _ = try await calendars.calendar(named: name) }
        _ = try await store.chunkInfos(ChunkQuery(instrumentID: nobody, series: [series], days: day...day, recordedBy: 0))
        _ = try await store.chunks([ChunkKey(instrumentID: nobody, series: series, day: day, revision: 1)])
    }
}
