/// An amount in the smallest unit of its currency, so that sums are exact.
public struct Money: Sendable, Hashable {
    /// Cents, yen, satoshi: whatever the currency's smallest unit is.
    public let minorUnits: Int64
    /// Three upper-case letters (ISO 4217), such as `EUR`.
    public let currency: String

    /// Nil when the currency is not three upper-case letters.
    public init?(minorUnits: Int64, currency: String) {
        guard currency.utf8.count == 3, currency.utf8.allSatisfy({ $0 >= 65 && $0 <= 90 }) else { return nil }
        self.minorUnits = minorUnits
        self.currency = currency
    }

    /// The sum, or nil for two currencies or an overflow.
    public func adding(_ other: Money) -> Money? {
        guard currency == other.currency else { return nil }
        let (sum, overflow) = minorUnits.addingReportingOverflow(other.minorUnits)
        return overflow ? nil : Money(minorUnits: sum, currency: currency)
    }
}

extension Money: Codable {
    private enum CodingKeys: CodingKey { case minorUnits, currency }

    /// Reads `{minor_units, currency}` and refuses a currency that is none.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let units = try container.decode(Int64.self, forKey: .minorUnits)
        guard let money = Money(minorUnits: units, currency: try container.decode(String.self, forKey: .currency)) else {
            throw DecodingError.dataCorruptedError(forKey: .currency, in: container, debugDescription: "expected three upper-case letters")
        }
        self = money
    }

    /// Writes `{minor_units, currency}`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(minorUnits, forKey: .minorUnits)
        try container.encode(currency, forKey: .currency)
    }
}
