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

/// Says what a chart's answer would be made of without reading a bar: the same as the reader's own key, for all days that the answer may touch.
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
        let calendar = try await calendars.known(instrument.calendar)
        let range = try question.range.resolved(by: calendar.calendar)
        let request = question.request(range, points: ChartLimits.points + 1)
        let view = try await KnowledgeView.of(instrument, request: request, store: store, now: time.now())
        let series = found.seriesByOwnClock
        let plan = try BarPlan(request, instrument: view.source, calendar: calendar.calendar, series: series, asOf: view.cut)
        let days = Self.days(of: request, plan, firstDay)
        let readable = plan.readable(series, asOf: view.cut)
        var infos: [ChunkInfo] = []
        if !readable.isEmpty {
            let query = ChunkQuery(
                instrumentID: view.source.id,
                series: readable.map(\.key),
                days: days,
                recordedBy: view.recordedBy,
                knownBy: view.cut
            )
            infos = try await store.chunkInfos(query)
        }
        let basis = AnswerBasis(plan: plan, view: view, calendar: calendar.fingerprint, infos: infos)
        return ChartMark(request: request, digest: Self.digest(question, range, basis), firstDay: days.lowerBound)
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

    /// The question, and all that its answer rests on.
    static func digest(_ question: ChartQuestion, _ range: Range<Timestamp>, _ basis: AnswerBasis) -> SHA256Digest {
        // Charts are pinned by the database's clock, this is ours: a minute between.
        let text = basis.text(slack: 60_000_000)
        return SHA256.digest(utf8: "chart2 \(question.symbol) \(range.lowerBound.microseconds) \(range.upperBound.microseconds) \(text)")
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
