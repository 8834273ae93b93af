import Bars
import Contracts
import ServiceRuntime

/// Makes the report on an instrument's stored bars: a run of days after the other, two reports at once, within a limit on days and rows.
final class QualityReader: Sendable {
    private let store: any MarketdataStore
    private let calendars: Calendars
    private let cpu: CPUPool
    private let time: any TimeSource
    private let limits: ReadLimits
    private let gate: ReadGate
    private let lane = CPULane(name: "quality", maximumConcurrent: max(1, CPULane.processors - 1), maximumQueued: 64)

    init(store: any MarketdataStore, calendars: Calendars, cpu: CPUPool, time: any TimeSource, limits: ReadLimits = ReadLimits()) {
        self.store = store
        self.calendars = calendars
        self.cpu = cpu
        self.time = time
        self.limits = limits
        gate = ReadGate(limits: limits, time: time)
    }

    /// The report on the bars that start in a range; without one, on the thirty days before the last stored one. As everything is known now.
    func report(on symbol: String, start: Timestamp? = nil, end: Timestamp? = nil) async throws -> QualityReport {
        try await withNewLooks { try await reportOnce(on: symbol, start: start, end: end) }
    }

    private func reportOnce(on symbol: String, start: Timestamp?, end: Timestamp?) async throws -> QualityReport {
        guard let found = try await store.description(of: symbol, on: .moment(min(end ?? time.now(), time.now()))) else {
            throw MarketdataError.unknownInstrument(symbol)
        }
        let (instrument, series) = (found.instrument, found.series)
        if instrument.feed == .replay {
            throw MarketdataError.invalid(field: "symbol", code: "replay", detail: "A replay has no bars of its own: ask for its source.")
        }
        let last = series.map(\.lastDay).max().map { ($0 + 1).seconds * 1_000_000 } ?? time.now().microseconds
        let upper = end?.microseconds ?? max(last, (start?.microseconds ?? .min / 2) + 1)
        let lower = start?.microseconds ?? upper - 30 * 86_400_000_000
        let days = CivilDay(utcMicroseconds: lower)...max(CivilDay(utcMicroseconds: lower), CivilDay(utcMicroseconds: upper - 1))
        guard days.upperBound.number - days.lowerBound.number < QualityReport.maximumDays else {
            throw MarketdataError.rangeTooLong("at most \(QualityReport.maximumDays) days at once would be right")
        }
        var report = QualityReport(
            instrument: instrument.symbol,
            instrumentID: instrument.id,
            start: Timestamp(microseconds: lower),
            end: Timestamp(microseconds: upper)
        )
        let query = ChunkQuery(instrumentID: instrument.id, series: series.map(\.key), days: days, recordedBy: Timestamp.distantFuture.microseconds)
        let infos = try await store.chunkInfos(query)
        let rows = infos.reduce(0) { $0 + $1.rows }
        guard rows <= QualityReport.maximumRows else {
            throw MarketdataError.rangeTooLong("it holds \(rows) stored bars, and at most \(QualityReport.maximumRows) would be right")
        }
        let clock = try TradingClock(try await calendars.calendar(named: instrument.calendar))
        try await gate.enter()
        defer { gate.leave() }
        var scan = DayScan(instrument: instrument.symbol, series: series.map(\.key), clock: clock, range: lower..<upper, infos: infos)
        for run in scan.runs(of: infos, rows: limits.runRows) {
            try Task.checkCancellation()
            let chunks = try await store.chunks(run.filter(\.isStored).map(\.key))
            let before = scan
            scan = try await cpu.run(lane: lane) {
                var next = before
                try next.add(run, chunks)
                return next
            }
        }
        scan.finish(&report)
        report.imports = try await store.findings(of: instrument.id, days: days, limit: 500).map { seen in
            QualityReport.ImportReport(
                day: seen.finding.day.text,
                kind: seen.finding.kind.rawValue,
                rows: seen.finding.rows,
                firstLine: seen.finding.firstLine,
                file: seen.fileName,
                recordedAt: seen.recordedAt
            )
        }
        return report
    }
}

/// All series of an instrument, day by day.
private struct DayScan: Sendable {
    private struct Pair: Hashable {
        let intervalSeconds: Int
        let origin: SeriesOrigin
    }

    private let instrument: String
    private let order: [SeriesKey]
    private let range: Range<Int64>
    private var scans: [SeriesKey: QualityScan] = [:]
    private var days: [SeriesKey: Int] = [:]
    private var spreads: [Pair: QualityReport.Findings] = [:]

    init(instrument: String, series: [SeriesKey], clock: TradingClock, range: Range<Int64>, infos: [ChunkInfo]) {
        self.instrument = instrument
        order = series
        self.range = range
        for (key, own) in Dictionary(grouping: infos, by: \.key.series) {
            // A hole is one between what the first and the last day's imports spoke for.
            let from = max(range.lowerBound, own.map(\.coverage.lowerBound).min() ?? range.lowerBound)
            let to = min(range.upperBound, own.map(\.coverage.upperBound).max() ?? range.upperBound)
            scans[key] = QualityScan(intervalSeconds: key.intervalSeconds, clock: clock, bounds: from..<max(from, to))
        }
        for key in series where key.side == .bid && series.contains(SeriesKey(intervalSeconds: key.intervalSeconds, side: .ask, origin: key.origin)) {
            spreads[Pair(intervalSeconds: key.intervalSeconds, origin: key.origin)] = QualityReport.Findings()
        }
    }

    /// Chunks in order of day, in runs that can be held at once.
    func runs(of infos: [ChunkInfo], rows limit: Int) -> [[ChunkInfo]] {
        var runs: [[ChunkInfo]] = []
        var run: [ChunkInfo] = []
        var rows = 0
        for (_, own) in Dictionary(grouping: infos, by: \.key.day).sorted(by: { $0.key < $1.key }) {
            let more = own.reduce(0) { $0 + $1.rows }
            if !run.isEmpty, rows + more > limit || run.count + own.count > 400 {
                runs.append(run)
                run = []
                rows = 0
            }
            run += own
            rows += more
        }
        if !run.isEmpty { runs.append(run) }
        return runs
    }

    mutating func add(_ run: [ChunkInfo], _ chunks: [ChunkKey: [UInt8]]) throws {
        var decoded: [SeriesKey: [BarSeries]] = [:]
        for info in run {
            let whole = try info.known(in: chunks, of: instrument, recordedBy: .max, cut: .max).bars
            let bars = whole.slice(whole.firstRow(startingFrom: range.lowerBound)..<whole.firstRow(startingFrom: range.upperBound))
            decoded[info.key.series, default: []].append(bars)
            days[info.key.series, default: 0] += 1
        }
        var series: [SeriesKey: BarSeries] = [:]
        for (key, parts) in decoded {
            let bars = try BarSeries.concatenate(parts)
            series[key] = bars
            try scans[key]?.add(bars)
        }
        for pair in spreads.keys {
            let (bid, ask) = (
                series[SeriesKey(intervalSeconds: pair.intervalSeconds, side: .bid, origin: pair.origin)],
                series[SeriesKey(intervalSeconds: pair.intervalSeconds, side: .ask, origin: pair.origin)]
            )
            guard let bid, let ask else { continue }
            for rows in BarQuality.crossed(bid: bid, ask: ask) {
                let what = "bid \(BarQuality.text(bid, rows.bid)), ask \(BarQuality.text(ask, rows.ask))"
                spreads[pair]?.add(QualityReport.Place(bid.starts[rows.bid], bid.ends[rows.bid], what))
            }
        }
    }

    mutating func finish(_ report: inout QualityReport) {
        for key in order {
            guard var scan = scans[key] else { continue }
            scan.finish()
            report.series.append(
                QualityReport.SeriesReport(
                    interval: BarInterval(seconds: key.intervalSeconds).text,
                    price: key.side.rawValue,
                    origin: key.origin.rawValue,
                    days: days[key] ?? 0,
                    rows: scan.rows,
                    outliers: scan.outliers,
                    holes: scan.holes,
                    notPositive: scan.notPositive,
                    highBelowLow: scan.highBelowLow
                )
            )
        }
        for (pair, found) in spreads.sorted(by: {
            ($0.key.intervalSeconds, $0.key.origin.rawValue) < ($1.key.intervalSeconds, $1.key.origin.rawValue)
        }) {
            report.negativeSpreads.append(
                QualityReport.SpreadReport(
                    interval: BarInterval(seconds: pair.intervalSeconds).text,
                    origin: pair.origin.rawValue,
                    found: found
                )
            )
        }
    }
}
