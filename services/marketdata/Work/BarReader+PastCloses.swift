import Bars
import Contracts
import ServiceRuntime

extension BarReader {
    /// The bars of an instrument that ended in a stretch, of the same grid by which live bars close. Instrument, series and plan are looked up once, so that
    /// a bar and its moment are of one view.
    func pastCloses(_ question: PastClosesQuestion) async throws -> PastCloses {
        try await withNewLooks {
            let now = time.now()
            guard let found = try await store.description(of: question.symbol, on: .moment(now)) else {
                throw MarketdataError.unknownInstrument(question.symbol)
            }
            let symbol = found.instrument.symbol
            // The bars of a replay are its source's, and closed when they were released.
            if found.instrument.feed == .replay { return PastCloses(symbol: symbol) }
            var request = BarRequest(symbol: symbol, interval: question.interval)
            let subject = try await subject(of: request, found, now: now)
            let (after, through) = (max(question.after, Self.earliest).microseconds, max(question.through, Self.earliest))
            request.start = Timestamp(microseconds: Self.start(ofBarsThatEndAfter: after, subject.plan))
            request.end = through
            // Beside those that are asked for: one that shows that there are more, and those at either end that begin in the stretch and do not end in it.
            request.limit = question.limit + 5
            let answer = try await read(request, subject, .people)
            let ends = answer.bars.ends.filter { after < $0 && $0 <= through.microseconds }
            let told = Array(ends.prefix(question.limit))
            let closes = zip(told, try await moments(ofBarsThatEnd: told, subject)).map {
                PastCloses.Close(end: Timestamp(microseconds: $0), knownAt: Timestamp(microseconds: $1))
            }
            return PastCloses(symbol: symbol, closes: closes, hasMore: ends.count > question.limit || answer.nextStart != nil)
        }
    }

    /// No bar is older.
    private static let earliest = Timestamp(microseconds: CivilDay(year: 1_600, month: 1, day: 1).seconds * 1_000_000)

    /// A bar that ends behind an instant may begin before it, and its nominal length does not say when: a month has 31 days too. A vendor's own bars of the
    /// length need not lie on the grid; of these one may begin up to its length before the bar of the grid does.
    private static func start(ofBarsThatEndAfter instant: Int64, _ plan: BarPlan) -> Int64 {
        var start = instant
        if case .bucket(let first, _, _) = plan.grid.slot(at: instant) { start = min(start, first) }
        return plan.intervals.contains(plan.interval.seconds) ? start - Int64(plan.interval.seconds) * 1_000_000 : start
    }
}
