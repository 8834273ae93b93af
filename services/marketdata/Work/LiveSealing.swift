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
    private let sealed = Metrics.shared.counter("marketdata_tails_sealed_total", help: "Tails of a series and day that became part of their chunk.")

    init(seals: LiveSeals, calendars: Calendars, time: any TimeSource, loop: EventLoop) {
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
            for part in try await seals.unsealed() {
                try Task.checkCancellation()
                if !all { guard try await isDue(part) else { continue } }
                // One that cannot be sealed holds up no other, and is lost to nobody: its rows stay in the tail.
                do { if try await seals.seal(part) { count += 1 } } catch let error where !(error is CancellationError) {
                    logger.warning("a tail was not sealed", ["instrument": .string("\(part.instrumentID)"), "reason": .string("\(error)")])
                }
            }
        } catch is CancellationError {
        } catch { logger.warning("tails were not sealed; trying again soon", ["reason": .string("\(error)")]) }
        sealed.increment(by: count)
        return count
    }

    private func isDue(_ part: UnsealedPart) async throws -> Bool {
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
