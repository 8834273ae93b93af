/// The middle between bid and ask.
public enum MidPrice {
    /// Field by field of the bars that both sides have. This is an approximation: the two highs need not have met at one instant.
    public static func approximate(bid: BarSeries, ask: BarSeries) -> BarSeries {
        var bidRows: [Int] = []
        var askRows: [Int] = []
        var left = 0
        var right = 0
        while left < bid.count, right < ask.count {
            if bid.starts[left] == ask.starts[right] {
                bidRows.append(left)
                askRows.append(right)
                left += 1
                right += 1
            } else if bid.starts[left] < ask.starts[right] {
                left += 1
            } else {
                right += 1
            }
        }
        let one = bid.gather(bidRows)
        let other = ask.gather(askRows)
        return BarSeries(
            unchecked: one.starts,
            ends: one.ends,
            open: middle(one.open, other.open),
            high: middle(one.high, other.high),
            low: middle(one.low, other.low),
            close: middle(one.close, other.close),
            volume: nil,
            trades: nil
        )
    }

    /// Value by value, exact where one more decimal place fits.
    public static func middle(_ left: ScaledColumn, _ right: ScaledColumn) -> ScaledColumn {
        if let leftScale = left.scale, let rightScale = right.scale {
            let scale = max(leftScale, rightScale)
            let limit = Int64.max / 10
            if scale < 18, let these = left.integers(at: scale), let those = right.integers(at: scale),
                these.allSatisfy({ $0.magnitude < limit.magnitude }), those.allSatisfy({ $0.magnitude < limit.magnitude })
            {
                return ScaledColumn(integers: zip(these, those).map { ($0 &+ $1) &* 5 }, scale: scale + 1)
            }
        }
        return ScaledColumn(.floats(zip(left.doubles(), right.doubles()).map { ($0 + $1) / 2 }))
    }
}
