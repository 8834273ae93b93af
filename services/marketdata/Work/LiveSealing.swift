import Bars
import Contracts
import ServiceRuntime

/// Seals tails: a quarter of an hour after their first row, when a session or the day has ended, and at the start what was left.
final class LiveSealing: Component {
    let name = "live-sealing"
    static let interval = Duration.seconds(30)
    /// How long a row stays in the tail at most, more or less a round.
    static let oldest: Int64 = 900_000_000
    /// Late ticks of the last interval of a session mostly come by then.
    static let afterEnd: Int64 = 60_000_000

    private let seals: LiveSeals
    private let calendars: Calendars
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("live-sealing")
    private let sealed: Counter
    private let oldestUnsealed: Gauge

    init(seals: LiveSeals, calendars: Calendars, time: any TimeSource, loop: EventLoop, metrics: Metrics = .shared) {
        sealed = metrics.counter("marketdata_tails_sealed_total", help: "Tails of a series and day that became part of their chunk.")
        oldestUnsealed = metrics.gauge(
            "marketdata_tail_oldest_seconds",
            help: "How long ago the oldest row of the tail became known that no chunk holds yet; 0 if there is none."
        )
        self.seals = seals
        self.calendars = calendars
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop) { [self] in
            await round(all: true)
            while (try? await time.sleep(for: Self.interval)) != nil, !Task.isCancelled { await round() }
        }
    }

    func stop() async { await work.stop() }

    /// Seals what is due, or everything; gives how many tails it sealed.
    @discardableResult
    func round(all: Bool = false) async -> Int {
        var count = 0
        do {
            let parts = try await seals.unsealed()
            // Should a seal hang or all fail, this is what shows.
            noteOldest(of: parts)
            var left: [UnsealedPart] = []
            for part in parts {
                try Task.checkCancellation()
                guard try await isDue(part, all: all) else {
                    left.append(part)
                    continue
                }
                // One that cannot be sealed holds up no other, and is lost to nobody: its rows stay in the tail.
                do {
                    if try await seals.seal(part) { count += 1 } else { left.append(part) }
                } catch let error where !(error is CancellationError) {
                    left.append(part)
                    logger.warning("a tail was not sealed", ["instrument": .string("\(part.instrumentID)"), "reason": .string("\(error)")])
                }
            }
            noteOldest(of: left)
        } catch is CancellationError {
        } catch { logger.warning("tails were not sealed; trying again soon", ["reason": .string("\(error)")]) }
        sealed.increment(by: count)
        return count
    }

    /// Shows how old the first of these is, which are in order of age.
    private func noteOldest(of parts: [UnsealedPart]) {
        let age = parts.first.map { max(0, time.now().microseconds - $0.firstKnownAt) } ?? 0
        oldestUnsealed.set(Double(age) / 1_000_000)
    }

    private func isDue(_ part: UnsealedPart, all: Bool) async throws -> Bool {
        if all { return true }
        let now = time.now().microseconds
        if now - part.firstKnownAt >= Self.oldest { return true }
        let calendar = try await calendars.calendar(named: part.calendar)
        return try Self.ends(after: part.firstEnd, TradingClock(calendar), part.day).contains { $0 + Self.afterEnd <= now }
    }

    /// When the sessions and the day are over to which a row may belong that ends at an instant.
    static func ends(after end: Int64, _ clock: TradingClock, _ day: CivilDay) -> [Int64] {
        let date = clock.tradingDate(of: end - 1)
        let sessions = [SessionKind.regular, .extended].compactMap { clock.session(on: date, kind: $0)?.upperBound }
        return (sessions + [(day + 1).seconds * 1_000_000]).filter { $0 >= end }
    }
}
