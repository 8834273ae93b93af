import Bars
import Contracts
import Cryptography
import ServiceRuntime

/// Answers every question for bars, live or in a backtest, by the same point-in-time query: the defence against look-ahead.
final class BarReader: Sendable {
    private let store: any MarketdataStore
    private let calendars: Calendars
    private let results: any ResultCache
    private let cpu: CPUPool
    private let time: any TimeSource
    private let decoded = ChunkCache()

    init(store: any MarketdataStore, calendars: Calendars, results: any ResultCache, cpu: CPUPool, time: any TimeSource) {
        self.store = store
        self.calendars = calendars
        self.results = results
        self.cpu = cpu
        self.time = time
    }

    /// The bars, as they were known at the request's moment; `recordedBy` fixes the revisions whatever the moment, as a replay needs it.
    func read(_ request: BarRequest, recordedBy: Timestamp? = nil) async throws -> BarAnswer {
        guard let instrument = try await store.instrument(symbol: request.symbol) else { throw MarketdataError.unknownInstrument(request.symbol) }
        var view = try await KnowledgeView.of(instrument, request: request, store: store, now: time.now())
        if let recordedBy { view.recordedBy = recordedBy.microseconds }
        let series = try await store.series(of: view.source.id)
        let calendar = try await calendars.calendar(named: instrument.calendar)
        let plan = try BarPlan(request, instrument: view.source, calendar: calendar, series: series, asOf: view.cut)
        let answer = try await answer(request, plan: plan, view: view, series: series)
        return BarAnswer(
            instrument: instrument,
            interval: request.interval,
            price: plan.price,
            session: plan.session,
            anchor: plan.anchor,
            bars: answer.bars,
            lastIsPartial: answer.lastIsPartial,
            isApproximate: answer.isApproximate,
            nextStart: answer.nextStart,
            dataSHA256: answer.dataSHA256,
            revision: answer.revision
        )
    }

    /// The grid of an instrument's bars as they are announced: the same as in an answer without session, anchor and price.
    func plan(for instrument: Instrument, interval: BarInterval, asOf moment: Int64) async throws -> BarPlan {
        let calendar = try await calendars.calendar(named: instrument.calendar)
        return try BarPlan(
            BarRequest(symbol: instrument.symbol, interval: interval),
            instrument: instrument,
            calendar: calendar,
            series: try await store.series(of: instrument.id),
            asOf: moment
        )
    }

    private func answer(_ request: BarRequest, plan: BarPlan, view: KnowledgeView, series: [StoredSeries]) async throws -> CachedAnswer {
        let usable = series.filter { plan.intervals.contains($0.key.intervalSeconds) && plan.sides.contains($0.key.side) && $0.firstEnd <= view.cut }
        guard var window = DayWindow(request, series: usable, cut: view.cut) else {
            return CachedAnswer(
                bars: .empty,
                lastIsPartial: false,
                isApproximate: false,
                nextStart: nil,
                dataSHA256: BarAssembly.digest([]),
                revision: 0
            )
        }
        while true {
            let query = ChunkQuery(instrumentID: view.source.id, series: usable.map(\.key), days: window.days, recordedBy: view.recordedBy)
            let choices = plan.choose(from: try await store.chunkInfos(query), asOf: view.cut)
            let key = resultKey(request, plan: plan, view: view, choices: choices)
            if let bytes = await results.value(key), let cached = try await cpu.run({ CachedAnswer(bytes) }) { return cached }
            let chunks = try await chunks(choices.flatMap { $0.infos.map(\.key) })
            let cut = view.cut
            let (current, partial) = (window, request.partial)
            let result = try await cpu.run {
                let moment = min(cut, current.knownUntil)
                let made = try BarAssembly.assemble(
                    plan: plan,
                    choices: choices,
                    series: chunks,
                    asOf: moment,
                    partial: partial && current.reachesTheEnd
                )
                return current.cutOut(made, request: request)
            }
            guard let result else {
                window.grow()
                continue
            }
            if let bytes = try? result.encoded(), bytes.count <= 1 << 20 { await results.store(bytes, for: key) }
            return result
        }
    }

    private func chunks(_ keys: [ChunkKey]) async throws -> [ChunkKey: BarSeries] {
        var found: [ChunkKey: BarSeries] = [:]
        var missing: [ChunkKey] = []
        for key in keys {
            if let series = decoded.series(key) { found[key] = series } else { missing.append(key) }
        }
        guard !missing.isEmpty else { return found }
        let bytes = try await store.chunks(missing)
        let fresh = try await cpu.run {
            try bytes.map { key, bytes in
                do { return (key, try DayChunk.decode(bytes)) } catch {
                    throw MarketdataError.damagedChunk("\(key.day.text) revision \(key.revision): \(error)")
                }
            }
        }
        for (key, series) in fresh {
            found[key] = series
            decoded.insert(series, for: key)
        }
        return found
    }

    /// Everything that the answer depends on: what was asked, on which revisions, and the moment if it falls inside them.
    private func resultKey(_ request: BarRequest, plan: BarPlan, view: KnowledgeView, choices: [DayChoice]) -> SHA256Digest {
        var text = "bars1 \(view.source.id) \(request.interval.text) \(plan.price.rawValue) \(plan.session.rawValue) \(plan.anchor.rawValue) "
        text +=
            "\(request.start?.microseconds ?? -1) \(request.end?.microseconds ?? -1) \(request.countback ?? -1) \(request.limit) \(request.partial) "
        let last = choices.flatMap(\.infos).map(\.lastEnd).max() ?? 0
        var settled = last
        if case .bucket(_, let end, _) = plan.grid.slot(at: last - 1) { settled = max(last, end) }
        text += view.cut >= settled ? "all" : "\(view.cut)"
        for info in choices.flatMap(\.infos) {
            let series = info.key.series
            text += " \(info.key.day.number):\(series.intervalSeconds):\(series.side.rawValue):\(series.origin.rawValue):\(info.key.revision)"
        }
        return SHA256.digest(Array(text.utf8))
    }
}
