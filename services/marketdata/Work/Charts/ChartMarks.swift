import Bars
import Contracts
import Cryptography
import ServiceRuntime

/// A chart's question, with what its answer would be made of at this moment.
struct ChartMark: Sendable {
    /// The question in UTC, for its last points.
    var request: BarRequest
    /// Equal for as long as the answer is: the question, and the revision of every stored day that could have to do with it.
    var digest: SHA256Digest
    /// The first day that was looked at.
    var firstDay: CivilDay
}

/// Says what a chart's answer would be made of without reading a bar: the same as the reader's own key, for all days that the answer may touch. Whatever an
/// answer comes to depend on belongs in both.
final class ChartMarks: Sendable {
    private let store: any MarketdataStore
    private let calendars: Calendars
    private let time: any TimeSource

    init(store: any MarketdataStore, calendars: Calendars, time: any TimeSource) {
        self.store = store
        self.calendars = calendars
        self.time = time
    }

    /// The mark of a question, from `firstDay` on if that is known; throws what the question itself is refused for.
    func mark(_ question: ChartQuestion, firstDay: CivilDay?) async throws -> ChartMark {
        guard let found = try await store.description(of: question.symbol) else { throw MarketdataError.unknownInstrument(question.symbol) }
        let instrument = found.instrument
        let calendar = try await calendars.calendar(named: instrument.calendar)
        let range = try question.range.resolved(by: calendar)
        let request = question.request(range, points: ChartLimits.points + 1)
        let view = try await KnowledgeView.of(instrument, request: request, store: store, now: time.now())
        let plan = try BarPlan(request, instrument: view.source, calendar: calendar, series: found.series, asOf: view.cut)
        let days = Self.days(of: request, plan, firstDay)
        let usable = found.series.filter { plan.intervals.contains($0.key.intervalSeconds) && plan.sides.contains($0.key.side) }
        var infos: [ChunkInfo] = []
        if !usable.isEmpty {
            let query = ChunkQuery(
                instrumentID: view.source.id,
                series: usable.map(\.key),
                days: days,
                recordedBy: view.recordedBy,
                knownBy: view.cut
            )
            infos = try await store.chunkInfos(query)
        }
        return ChartMark(request: request, digest: Self.digest(question, range, plan, view, infos), firstDay: days.lowerBound)
    }

    /// The days that may hold a row of an answer's bar, or of the bar before: from half again as many as a session of six hours a day needs, to the end of
    /// the last bar.
    private static func days(of request: BarRequest, _ plan: BarPlan, _ firstDay: CivilDay?) -> ClosedRange<CivilDay> {
        let start = CivilDay(utcMicroseconds: request.start?.microseconds ?? 0) + -1
        var last = (request.end?.microseconds ?? 0) - 1
        if case .bucket(_, _, let spanEnd) = plan.grid.slot(at: last) { last = spanEnd - 1 }
        let end = max(start, CivilDay(utcMicroseconds: last))
        let period = request.interval.isDaily ? request.interval.seconds / 86_400 * 2 : 1
        let likely = end + -((ChartLimits.points + 1) * request.interval.seconds / 86_400 * 6 + 10 + period)
        return min(max(start, firstDay ?? likely), end)...end
    }

    private static func digest(
        _ question: ChartQuestion,
        _ range: Range<Timestamp>,
        _ plan: BarPlan,
        _ view: KnowledgeView,
        _ infos: [ChunkInfo]
    ) -> SHA256Digest {
        var text = "chart1 \(question.symbol) \(view.source.id) \(plan.interval.text) \(plan.price.rawValue) \(plan.session.rawValue) "
        text += "\(plan.anchor.rawValue) \(plan.intervals) \(range.lowerBound.microseconds) \(range.upperBound.microseconds) "
        let last = infos.map(\.lastEnd).max() ?? 0
        var settled = last
        if case .bucket(_, let end, _) = plan.grid.slot(at: last - 1) { settled = max(last, end) }
        // While not all of it is known yet, each moment has an answer of its own. Charts are pinned by the database's clock, this is ours: a minute between.
        text += view.cut >= settled &+ 60_000_000 ? "all" : "\(view.cut)"
        if infos.contains(where: { $0.live.map { $0.lastKnownAt > view.recordedBy } ?? false }) { text += " by \(view.recordedBy)" }
        for info in infos {
            let series = info.key.series
            text += " \(info.key.day.number):\(series.intervalSeconds):\(series.side.rawValue):\(series.origin.rawValue):\(info.key.revision)"
            text += info.tailText
        }
        return SHA256.digest(utf8: text)
    }
}

/// What somebody wants to see on a chart.
struct ChartQuestion: Sendable, Hashable {
    var symbol: String
    var interval: BarInterval
    var range: ChartRange

    /// The last bars of a stretch.
    func request(_ range: Range<Timestamp>, points: Int) -> BarRequest {
        BarRequest(symbol: symbol, interval: interval, start: range.lowerBound, end: range.upperBound, countback: points, limit: points)
    }
}
