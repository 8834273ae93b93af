import Bars

/// The finest bars that a request gets which names no price: quotes by the second are of no use to one that is answered in trades by the minute.
enum BaseInterval {
    /// In seconds, of what is stored of an instrument; nil when nothing is.
    static func seconds(of series: [SeriesKey]) throws -> Int? {
        let price = try BarPlan.price(nil, Set(series.map(\.side)))
        func lengths(_ side: PriceSide) -> Set<Int> { Set(series.filter { $0.side == side }.map(\.intervalSeconds)) }
        // The middle is stored, or made of both sides.
        return (price == .mid ? lengths(.mid).union(lengths(.bid).intersection(lengths(.ask))) : lengths(price)).min()
    }
}
