import Bars
import Contracts

/// The questions that a `resample_all` job asks in advance. Each has to be the very one that is asked later: what is remembered is found by its wording.
struct ResampleQuestions: Sendable, Equatable {
    let spec: ResampleAllSpec
    private let session: SessionKind?
    private let price: PriceSide?
    private let adjustment: Adjustment

    /// Nothing when the spec holds what no question for bars can say.
    init?(_ spec: ResampleAllSpec) {
        session = spec.session.flatMap { SessionKind(rawValue: $0) }
        price = spec.price.flatMap { PriceSide(rawValue: $0) }
        guard let adjustment = Adjustment(rawValue: spec.adjustment ?? Adjustment.raw.rawValue), InstrumentSymbol.canExist(spec.instrument),
            (session == nil) == (spec.session == nil), (price == nil) == (spec.price == nil), spec.start < spec.end
        else { return nil }
        self.adjustment = adjustment
        self.spec = spec
    }

    /// What is asked of one interval: the last points, as a chart asks, and the first ones, as `/api/bars` asks without `limit`.
    func questions(_ interval: BarInterval) -> [BarRequest] {
        var first = BarRequest(symbol: spec.instrument, interval: interval, asOf: spec.asOf, start: spec.start, end: spec.end)
        first.session = session
        first.price = price
        first.adjustment = adjustment
        var last = first
        last.countback = ChartLimits.points + 1
        last.limit = ChartLimits.points + 1
        return [last, first]
    }
}
