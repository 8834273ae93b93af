import Bars
import Contracts
import ServiceRuntime

/// Runs one replay while this process holds its lease: waits for the next bar or watched close, releases it, and says so.
struct ReplayRun: Sendable {
    let store: any MarketdataStore
    let reader: BarReader
    let time: any TimeSource
    let runner: String

    static let leaseSeconds = 5
    /// Changes of state and of watches are noticed within this time.
    private static let pulse = Duration.milliseconds(250)

    /// Why a run ended.
    enum End: Sendable { case finished, notOurs, cancelled }

    /// Releases until the data end, somebody pauses or stops it, or the lease is lost.
    func run(_ start: Replay) async throws -> End {
        var replay = start
        guard let source = try await store.instrument(id: replay.sourceInstrumentID) else { return .notOurs }
        var rows = BaseRows(replay: replay)
        try await rows.load(after: replay.releasedThrough.microseconds, reader: reader, store: store)
        // The first bar comes at once, wherever the replay begins; after that gaps take their time, also across a restart.
        let position = replay.releasedThrough.microseconds
        let isNew = replay.releasedBars == 0 && replay.releasedThrough == replay.startsAt
        var clock = ReplayClock(
            recorded: isNew ? rows.nextEnd(after: position) ?? position : position,
            speed: replay.speed,
            now: time.monotonicNanoseconds()
        )
        var watched = try await Watched(of: replay, source: source, store: store, reader: reader)
        var renewedAt = time.monotonicNanoseconds()
        while !Task.isCancelled {
            let position = replay.releasedThrough.microseconds
            try await rows.load(after: position, reader: reader, store: store)
            let nextBar = rows.nextEnd(after: position)
            let nextClose = watched.nextClose(after: position)
            let isOver = nextBar == nil || nextBar ?? 0 > replay.endsAt?.microseconds ?? .max
            // After the last bar only the intervals that it belongs to still close.
            let finalClose = isOver ? watched.close(ofBarEnding: min(rows.last ?? position, replay.endsAt?.microseconds ?? .max)) : nil
            if isOver, position >= finalClose ?? .min { return .finished }
            let due = min(isOver ? .max : nextBar ?? .max, nextClose?.at ?? .max)
            guard due < .max else { return .finished }
            let now = time.monotonicNanoseconds()
            let wait = clock.wait(until: due, now: now)
            if wait > .zero {
                try await time.sleep(for: min(wait, Self.pulse))
            } else {
                // Behind the clock, bars go out together up to the next close; each close is a release of its own.
                let reach = min(clock.recordedTime(at: now), nextClose?.at ?? .max)
                let through = max(due, nextClose?.at == reach ? reach : rows.lastEnd(upTo: min(reach, replay.endsAt?.microseconds ?? .max)) ?? due)
                let closes = through == nextClose?.at ? try await closes(nextClose?.intervals ?? [], at: through, replay: replay, source: source) : []
                let step = ReplayStep(
                    replayID: replay.id,
                    from: replay.releasedThrough,
                    through: Timestamp(microseconds: through),
                    bars: rows.count(after: position, upTo: through),
                    closes: closes
                )
                guard try await store.release(step, runner: runner) != nil else { return .notOurs }
                replay.releasedThrough = step.through
            }
            let later = time.monotonicNanoseconds()
            if later &- renewedAt >= UInt64(Self.pulse.wholeMicroseconds) * 1_000 {
                guard let renewed = try await store.renewReplay(replay.id, runner: runner, leaseSeconds: Self.leaseSeconds) else { return .notOurs }
                if renewed.speed != replay.speed {
                    clock = ReplayClock(recorded: clock.recordedTime(at: later), speed: renewed.speed, now: later)
                }
                replay.speed = renewed.speed
                try await watched.refresh(source: source, store: store, reader: reader)
                renewedAt = later
            }
        }
        return .cancelled
    }

    private func closes(_ intervals: [Int], at moment: Int64, replay: Replay, source: Instrument) async throws -> [ReplayStep.Close] {
        var closes: [ReplayStep.Close] = []
        for seconds in intervals {
            // The event carries what a query of the same moment answers.
            let request = BarRequest(
                symbol: source.symbol,
                interval: BarInterval(seconds: seconds),
                asOf: Timestamp(microseconds: moment),
                countback: 1
            )
            let answer = try await reader.read(request, recordedBy: replay.revisionsAsOf, for: .platform)
            closes.append(
                ReplayStep.Close(
                    intervalSeconds: seconds,
                    revision: Int64(answer.revision),
                    bar: answer.bars.ends.last == moment ? ClosedBar.Bar(lastOf: answer.bars) : nil
                )
            )
        }
        return closes
    }
}

extension ClosedBar.Bar {
    /// The last bar of a series, as events carry it.
    init?(lastOf bars: BarSeries) {
        let row = bars.count - 1
        guard row >= 0 else { return nil }
        func price(_ column: ScaledColumn) -> Price? { column.text(at: row).flatMap { DecimalText($0) }.map { Price($0) } }
        guard let open = price(bars.open), let high = price(bars.high), let low = price(bars.low), let close = price(bars.close) else { return nil }
        self.init(
            start: Timestamp(microseconds: bars.starts[row]),
            end: Timestamp(microseconds: bars.ends[row]),
            open: open,
            high: high,
            low: low,
            close: close,
            volume: bars.volume?.text(at: row).flatMap { DecimalText($0) }
        )
    }
}
