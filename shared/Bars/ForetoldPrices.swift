/// Four price columns of one scale as what is left of them when each is foretold by its neighbours: the open by the close before it, the close by the open,
/// the high by the higher and the low by the lower of the two. Everything wraps, so that any integers come back as they were.
struct ForetoldPrices {
    private let scale: Int
    private let isNarrow: Bool
    /// The close before the first row: its open, so that it costs nothing.
    private let first: Int64
    private let residuals: [[Int64]]

    /// Nothing when the columns are not all integers of one scale and width.
    init?(_ series: BarSeries) {
        let columns = [series.open, series.high, series.low, series.close]
        var wide: [[Int64]] = []
        var narrow = 0
        for column in columns {
            guard column.scale == series.open.scale else { return nil }
            switch column.storage {
            case .narrow(let values, _):
                narrow += 1
                wide.append(values.map { Int64($0) })
            case .integers(let values, _): wide.append(values)
            case .floats: return nil
            }
        }
        guard let scale = series.open.scale, narrow == 0 || narrow == 4 else { return nil }
        self.scale = scale
        let isNarrow = narrow == 4
        self.isNarrow = isNarrow
        first = wide[0].first ?? 0
        residuals = Self.residuals(wide, first: first, isNarrow: isNarrow)
    }

    private static func residuals(_ columns: [[Int64]], first: Int64, isNarrow: Bool) -> [[Int64]] {
        var (open, high, low, close) = (columns[0], columns[1], columns[2], columns[3])
        var openColumn = open.mutableSpan
        var highColumn = high.mutableSpan
        var lowColumn = low.mutableSpan
        var closeColumn = close.mutableSpan
        func wrapped(_ residual: Int64) -> Int64 { isNarrow ? Int64(Int32(truncatingIfNeeded: residual)) : residual }
        var previous = first
        for row in 0..<openColumn.count {
            let (opening, closing) = (openColumn[unchecked: row], closeColumn[unchecked: row])
            openColumn[unchecked: row] = wrapped(opening &- previous)
            highColumn[unchecked: row] = wrapped(highColumn[unchecked: row] &- max(opening, closing))
            lowColumn[unchecked: row] = wrapped(min(opening, closing) &- lowColumn[unchecked: row])
            closeColumn[unchecked: row] = wrapped(closing &- opening)
            previous = closing
        }
        return [open, high, low, close]
    }

    func append(compressor: Zstandard.Compressor, to bytes: inout [UInt8]) {
        bytes.append(UInt8(scale) | (isNarrow ? 0x80 : 0))
        VariableLength.append(signed: first, to: &bytes)
        for column in residuals { BytePlanes.append(column, nature: .residuals, compressor: compressor, to: &bytes) }
    }

    /// Open, high, low and close.
    static func read(_ reader: inout BytePlanesReader, count: Int) throws(BarsError) -> [ScaledColumn] {
        let kind = try reader.byte()
        let first = try reader.signed()
        let scale = Int(kind & 0x7F)
        guard scale <= 18 else { throw BarsError.damagedChunk(reason: "prices have scale \(scale)") }
        if kind & 0x80 == 0 {
            return try rebuild(&reader, count, UInt64.self, first: first).map { ScaledColumn(.integers($0, scale: scale)) }
        }
        return try rebuild(&reader, count, UInt32.self, first: Int32(truncatingIfNeeded: first)).map { ScaledColumn(.narrow($0, scale: scale)) }
    }

    private static func rebuild<Number: FixedWidthInteger & UnsignedInteger, Value: FixedWidthInteger & SignedInteger>(
        _ reader: inout BytePlanesReader,
        _ count: Int,
        _ type: Number.Type,
        first: Value
    ) throws(BarsError) -> [[Value]] {
        let opens = try reader.residuals(count: count, as: type)
        let highs = try reader.residuals(count: count, as: type)
        let lows = try reader.residuals(count: count, as: type)
        let closes = try reader.residuals(count: count, as: type)
        let (openFactor, highFactor) = (Value(truncatingIfNeeded: opens.factor), Value(truncatingIfNeeded: highs.factor))
        let (lowFactor, closeFactor) = (Value(truncatingIfNeeded: lows.factor), Value(truncatingIfNeeded: closes.factor))
        let (openLeft, highLeft, lowLeft, closeLeft) = (opens.numbers.span, highs.numbers.span, lows.numbers.span, closes.numbers.span)
        var open = [Value](repeating: 0, count: count)
        var high = open
        var low = open
        var close = open
        var openColumn = open.mutableSpan
        var highColumn = high.mutableSpan
        var lowColumn = low.mutableSpan
        var closeColumn = close.mutableSpan
        var previous = first
        for row in 0..<count {
            let opening = previous &+ openFactor &* unfold(openLeft[unchecked: row])
            let closing = opening &+ closeFactor &* unfold(closeLeft[unchecked: row])
            openColumn[unchecked: row] = opening
            closeColumn[unchecked: row] = closing
            highColumn[unchecked: row] = max(opening, closing) &+ highFactor &* unfold(highLeft[unchecked: row])
            lowColumn[unchecked: row] = min(opening, closing) &- lowFactor &* unfold(lowLeft[unchecked: row])
            previous = closing
        }
        return [open, high, low, close]
    }
}
