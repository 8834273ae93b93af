import Bars
import Contracts

/// The intervals of a replay whose closes somebody waits for, each with its grid.
struct Watched: Sendable {
    /// Intervals that close at one recorded time.
    struct Close: Sendable {
        var at: Int64
        var intervals: [Int]
    }

    private let instrument: InstrumentID
    private var grids: [(seconds: Int, grid: any BarGrid)] = []

    init(of replay: Replay, source: Instrument, store: any MarketdataStore, reader: BarReader) async throws {
        instrument = replay.instrumentID
        try await refresh(source: source, store: store, reader: reader)
    }

    /// Looks again which intervals are watched.
    mutating func refresh(source: Instrument, store: any MarketdataStore, reader: BarReader) async throws {
        let wanted = try await store.watchedIntervals(of: instrument)
        if wanted == grids.map(\.seconds) { return }
        var made: [(seconds: Int, grid: any BarGrid)] = []
        for seconds in wanted {
            if let known = grids.first(where: { $0.seconds == seconds }) {
                made.append(known)
            } else if let plan = try? await reader.plan(for: source, interval: BarInterval(seconds: seconds), asOf: .max) {
                // An interval that no stored one divides never closes.
                made.append((seconds, plan.grid))
            }
        }
        grids = made
    }

    /// The next recorded time at which something closes, and what.
    func nextClose(after position: Int64) -> Close? {
        var next: Close?
        for (seconds, grid) in grids {
            guard let at = Self.close(after: position, on: grid) else { continue }
            if let known = next, known.at < at { continue }
            if next?.at == at { next?.intervals.append(seconds) } else { next = Close(at: at, intervals: [seconds]) }
        }
        return next
    }

    /// When the last of the intervals closes to which a bar with this end belongs.
    func close(ofBarEnding end: Int64) -> Int64? { grids.compactMap { Self.close(after: end - 1, on: $0.grid) }.max() }

    static func close(after position: Int64, on grid: any BarGrid) -> Int64? {
        var at = position
        // A night, a weekend and a few holidays are as many gaps.
        for _ in 0..<40 {
            switch grid.slot(at: at) {
            case .gap(let until): at = until
            case .bucket(_, let end, let spanEnd):
                if end > position { return end }
                at = spanEnd
            }
        }
        return nil
    }
}
