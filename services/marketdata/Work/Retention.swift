import Bars
import ServiceRuntime

/// Removes the days of bars that no rule keeps any more: whole months as parts of the table, others some days a transaction.
///
/// Every step is whole by itself, so that one who is killed leaves nothing to repair; replicas take turns by a lock of the database.
final class Retention: Component {
    let name = "retention"
    static let interval = Duration.seconds(900)
    static let daysAStep = 100

    private let store: RetentionStore
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("retention")
    private let removedDays = Metrics.shared.counter("marketdata_days_removed_total", help: "Stored days that no retention rule kept.")
    private let droppedMonths = Metrics.shared.counter("marketdata_months_dropped_total", help: "Months of fine bars that went as a whole.")

    init(store: RetentionStore, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time) { [self] in await round() }
    }

    func stop() async { await work.stop() }

    /// Removes all that may go; gives how many days did.
    @discardableResult
    func round() async -> Int {
        var count = 0
        do {
            try await remove(&count)
        } catch is CancellationError {
        } catch {
            logger.warning("old bars were not removed; trying again in a quarter of an hour", ["reason": .string("\(error)")])
        }
        if count > 0 { logger.notice("bars that no rule keeps were removed", ["days": .integer(count)]) }
        return count
    }

    private func remove(_ count: inout Int) async throws {
        // In order, since a series always loses its oldest days first: a month that can't be dropped whole is emptied before the next one is looked at.
        for month in try await store.months() {
            guard try await drop(month, &count) else { return }
            let before = count
            guard try await removeDays(before: month.firstOfNextMonth, &count) else { return }
            // Perhaps nothing is left of it now.
            if count > before { guard try await drop(month, &count) else { return } }
        }
        _ = try await removeDays(before: nil, &count)
    }

    /// False when somebody else is at it.
    private func drop(_ month: CivilDay, _ count: inout Int) async throws -> Bool {
        try Task.checkCancellation()
        guard case .removed(let days) = try await store.drop(month: month) else { return false }
        if days > 0 { droppedMonths.increment() }
        note(days, &count)
        return true
    }

    /// False when somebody else is at it.
    private func removeDays(before day: CivilDay?, _ count: inout Int) async throws -> Bool {
        while true {
            try Task.checkCancellation()
            guard case .removed(let days) = try await store.removeDays(before: day, maximum: Self.daysAStep) else { return false }
            if days == 0 { return true }
            note(days, &count)
        }
    }

    private func note(_ days: Int, _ count: inout Int) {
        count += days
        removedDays.increment(by: days)
    }
}
