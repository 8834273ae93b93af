import Bars
import Contracts

/// Looks through one series, a run of days after the other, for what a vendor most likely got wrong. Pure.
struct QualityScan: Sendable {
    private let intervalSeconds: Int
    private let clock: TradingClock
    private let bounds: Range<Int64>
    private(set) var rows = 0
    private(set) var outliers = QualityReport.Findings()
    private(set) var holes = QualityReport.Findings()
    private(set) var notPositive = QualityReport.Findings()
    private(set) var highBelowLow = QualityReport.Findings()
    /// Up to here there are bars, or a hole that was named.
    private var covered: Int64
    /// A hole that reaches the close of a session: the next session's may be its continuation.
    private var holeAtClose: (day: CivilDay, sessions: Int)?
    /// The last two rows of the run before, whose neighbours are not known yet.
    private var carried = BarSeries.empty

    /// Nothing seen yet. `bounds` is the time that the series speaks for: a hole is one inside it.
    init(intervalSeconds: Int, clock: TradingClock, bounds: Range<Int64>) {
        self.intervalSeconds = intervalSeconds
        self.clock = clock
        self.bounds = bounds
        covered = bounds.lowerBound
    }

    /// Takes the next bars, in order of time.
    mutating func add(_ series: BarSeries) throws {
        if series.isEmpty { return }
        rows += series.count
        for row in 0..<series.count {
            note(gapTo: series.starts[row])
            covered = max(covered, series.ends[row])
            plausible(series, row)
        }
        let all = try BarSeries.concatenate([carried, series])
        look(at: all, judged: carried.count..<all.count)
        carried = all.slice(max(0, all.count - 2)..<all.count)
    }

    /// After the last bar: what is missing at the end.
    mutating func finish() { note(gapTo: bounds.upperBound) }

    // MARK: Prices that cannot be

    private mutating func plausible(_ series: BarSeries, _ row: Int) {
        let prices = [series.open, series.high, series.low, series.close].map { $0.double(at: row) }
        if let worst = prices.min(), worst <= 0 {
            notPositive.add(QualityReport.Place(series.starts[row], series.ends[row], "a price is \(worst)"))
        }
        if prices[1] < max(prices[0], prices[2], prices[3]) || prices[2] > min(prices[0], prices[3]) {
            highBelowLow.add(QualityReport.Place(series.starts[row], series.ends[row], "\(BarQuality.text(series, row)) cannot be"))
        }
    }

    // MARK: Outliers

    private mutating func look(at series: BarSeries, judged: Range<Int>) {
        let suspects = Set(BarQuality.suspects(series, intervalSeconds: intervalSeconds))
        // Its range tells of a row at once, its neighbours only when the one after it has come.
        let spikes = BarQuality.spikes(series).filter { $0 >= judged.lowerBound - 1 && !suspects.contains($0) }
        for row in (suspects.filter(judged.contains) + spikes).sorted() {
            let reason = suspects.contains(row) ? "its range is more than half of the price" : "far from the bars on both sides"
            outliers.add(QualityReport.Place(series.starts[row], series.ends[row], "\(BarQuality.text(series, row)): \(reason)"))
        }
    }

    // MARK: Holes

    /// Names the stretches of sessions between what is covered and a bar's start.
    private mutating func note(gapTo start: Int64) {
        guard start - covered >= 1_800_000_000 else { return }
        var day = clock.tradingDate(of: covered)
        let last = clock.tradingDate(of: start - 1)
        while day <= last {
            if let session = clock.session(on: day, kind: .regular), session.overlaps(covered..<start) {
                let gap = session.clamped(to: covered..<start)
                let length = session.upperBound - session.lowerBound
                if gap.upperBound - gap.lowerBound >= min(max(1_800, Int64(intervalSeconds)) * 1_000_000, length) { name(gap, session, day) }
            }
            day = day + 1
        }
    }

    private mutating func name(_ gap: Range<Int64>, _ session: Range<Int64>, _ day: CivilDay) {
        var sessions = 1
        if let open = holeAtClose, gap.lowerBound == session.lowerBound, isNext(day, after: open.day) {
            sessions += open.sessions
            holes.extendLast(to: gap.upperBound, "no bar in \(sessions) sessions, or parts of them")
        } else {
            holes.add(
                QualityReport.Place(
                    gap.lowerBound,
                    gap.upperBound,
                    "no bar for \((gap.upperBound - gap.lowerBound) / 60_000_000) minutes of a session"
                )
            )
        }
        holeAtClose = gap.upperBound == session.upperBound ? (day, sessions) : nil
    }

    private func isNext(_ day: CivilDay, after other: CivilDay) -> Bool {
        var between = other + 1
        while between < day {
            if clock.session(on: between, kind: .regular) != nil { return false }
            between = between + 1
        }
        return true
    }
}
