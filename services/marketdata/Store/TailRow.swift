import Bars
import Postgres

extension PostgresMarketdataStore {
    /// The numbers of a row of the tail: open, high, low, close and volume as text, then trades; nothing for a marker.
    static func tailPrices(_ row: PostgresRow, from column: Int) throws -> LiveDay.Row.Prices? {
        func number(_ offset: Int) throws -> DecimalNumber? {
            guard let text = try row.column(column + offset, as: String?.self) else { return nil }
            // More digits than a number of ours ever has without being floating.
            return DecimalNumber(text) ?? Double(text).map { .float($0) }
        }
        guard let open = try number(0), let high = try number(1), let low = try number(2), let close = try number(3) else { return nil }
        return LiveDay.Row.Prices(open: open, high: high, low: low, close: close, volume: try number(4), trades: try row.column(column + 5))
    }
}
