/// What one unit of an instrument costs, exactly; it can be negative, as oil has been.
public struct Price: Sendable, Hashable, Comparable {
    /// The number itself.
    public let value: DecimalText

    /// Wraps a number.
    public init(_ value: DecimalText) {
        self.value = value
    }

    /// Orders by value.
    public static func < (left: Price, right: Price) -> Bool { left.value < right.value }
}

extension Price: LosslessStringConvertible, Codable {
    /// Reads a decimal text; nil for anything else.
    public init?(_ description: String) {
        guard let value = DecimalText(description) else { return nil }
        self.value = value
    }

    /// The canonical decimal text.
    public var description: String { value.text }

    /// Reads a decimal text.
    public init(from decoder: any Decoder) throws {
        value = try DecimalText(from: decoder)
    }

    /// Writes a decimal text.
    public func encode(to encoder: any Encoder) throws {
        try value.encode(to: encoder)
    }
}
