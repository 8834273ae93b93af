/// What can be wrong with bars, chunks and calendars; never the fault of the caller's network or disk.
public enum BarsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes that claim to be a chunk are not one, or were damaged on the way.
    case damagedChunk(reason: String)
    /// The chunk was written by a codec that this build does not know.
    case unknownCodecVersion(Int)
    /// Columns of one series differ in length.
    case unequalColumns(expected: Int, found: Int)
    /// Rows are not in strictly rising order of their start.
    case unsortedRows(index: Int)
    /// The interval text is not a number followed by s, m, h, d, w or M.
    case badInterval(String)
    /// The interval asked for is not a multiple of the one that is stored.
    case notAMultiple(asked: Int, stored: Int)
    /// No such time zone on this machine.
    case unknownTimeZone(String)

    /// One line for logs and for the detail of a problem document.
    public var description: String {
        switch self {
        case .damagedChunk(let reason): "The bar chunk is damaged: \(reason)."
        case .unknownCodecVersion(let version): "The bar chunk has codec version \(version), which this build cannot read."
        case .unequalColumns(let expected, let found): "A column has \(found) rows where \(expected) were expected."
        case .unsortedRows(let index): "Row \(index) does not start after the row before it."
        case .badInterval(let text): "\"\(text)\" is not an interval such as 15s, 1m, 4h, 1d, 1w or 1M."
        case .notAMultiple(let asked, let stored): "An interval of \(asked) s is not a multiple of the stored \(stored) s."
        case .unknownTimeZone(let name): "\"\(name)\" is not a known time zone."
        }
    }
}
