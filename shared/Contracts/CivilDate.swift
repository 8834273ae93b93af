/// A calendar date without a zone: a trading date or the UTC date of a storage chunk. `2016-10-08` on the wire.
public struct CivilDate: Sendable, Hashable, Comparable {
    /// Days since 1970-01-01; negative before that.
    public let daysSince1970: Int64

    /// Takes days since 1970-01-01 as they are.
    public init(daysSince1970: Int64) {
        self.daysSince1970 = daysSince1970
    }

    /// Nil for a date that is not in the Gregorian calendar or outside the years 1–9999.
    public init?(year: Int, month: Int, day: Int) {
        guard (1...9_999).contains(year), (1...12).contains(month), day >= 1, day <= CivilTime.daysInMonth(month, year: year) else { return nil }
        daysSince1970 = CivilTime.daysSince1970(year: year, month: month, day: day)
    }

    /// The UTC date of a moment.
    public init(of moment: Timestamp) {
        daysSince1970 = moment.microseconds.flooredQuotient(86_400_000_000)
    }

    /// 00:00 UTC of the date.
    public var startUTC: Timestamp { Timestamp(microseconds: daysSince1970 * 86_400_000_000) }

    /// Year, month and day.
    public var fields: (year: Int, month: Int, day: Int) { CivilTime.date(daysSince1970: daysSince1970) }

    /// Orders by time.
    public static func < (left: CivilDate, right: CivilDate) -> Bool { left.daysSince1970 < right.daysSince1970 }
}

extension CivilDate: LosslessStringConvertible, Codable {
    /// Reads `yyyy-mm-dd`; nil for anything else.
    public init?(_ description: String) {
        guard description.utf8.count == 10, let moment = Timestamp(iso8601: description + "T00:00:00Z") else { return nil }
        self.init(of: moment)
    }

    /// `yyyy-mm-dd`.
    public var description: String { String(startUTC.iso8601.prefix(10)) }

    /// Reads the text form; other text is a `DecodingError.dataCorrupted`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let date = CivilDate(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "expected a date such as 2016-10-08")
        }
        self = date
    }

    /// Writes the text form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
