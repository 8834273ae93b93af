public import FoundationEssentials

/// A UUID that says what it names, so that an account's id can never be handed over as a user's.
public struct ID<Subject>: Sendable, Hashable {
    /// The bytes themselves.
    public let uuid: UUID

    /// Wraps a UUID that came from a store or a test.
    public init(uuid: UUID) {
        self.uuid = uuid
    }

    /// A fresh UUIDv7 of this moment.
    public static func make() -> Self {
        Self(uuid: UUIDv7.make())
    }

    /// The sixteen bytes in network order, as the ledger hashes them.
    public var bytes: [UInt8] {
        withUnsafeBytes(of: uuid.uuid) { Array($0) }
    }
}

extension ID: Comparable {
    /// Orders by the bytes, which for UUIDv7 is the order of creation to the millisecond.
    public static func < (left: Self, right: Self) -> Bool {
        withUnsafeBytes(of: left.uuid.uuid) { left in
            withUnsafeBytes(of: right.uuid.uuid) { right in
                left.lexicographicallyPrecedes(right)
            }
        }
    }
}

extension ID: LosslessStringConvertible {
    /// Reads the usual 36 characters in either case; nil for anything else.
    public init?(_ description: String) {
        guard description.utf8.count == 36 else { return nil }
        var text = description
        let bytes = text.withUTF8 { Self.bytes(of: $0) }
        guard let bytes else { return nil }
        uuid = UUID(uuid: bytes)
    }

    private static func bytes(of text: UnsafeBufferPointer<UInt8>) -> uuid_t? {
        var uuid: uuid_t = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        let isRead = withUnsafeMutableBytes(of: &uuid) { bytes in
            var position = 0
            for index in bytes.indices {
                if index == 4 || index == 6 || index == 8 || index == 10 {
                    guard text[position] == UInt8(ascii: "-") else { return false }
                    position += 1
                }
                guard let high = Hex.value(of: text[position]), let low = Hex.value(of: text[position + 1]) else { return false }
                bytes[index] = high << 4 | low
                position += 2
            }
            return true
        }
        return isRead ? uuid : nil
    }

    /// The usual 36 characters, lower case.
    public var description: String {
        let digits: StaticString = "0123456789abcdef"
        return withUnsafeBytes(of: uuid.uuid) { bytes in
            String(unsafeUninitializedCapacity: 36) { out in
                var position = 0
                for (index, byte) in bytes.enumerated() {
                    if index == 4 || index == 6 || index == 8 || index == 10 {
                        out[position] = UInt8(ascii: "-")
                        position += 1
                    }
                    out[position] = digits.utf8Start[Int(byte >> 4)]
                    out[position + 1] = digits.utf8Start[Int(byte & 15)]
                    position += 2
                }
                return 36
            }
        }
    }
}

extension ID: Codable {
    /// Reads the text form; other text is a `DecodingError.dataCorrupted`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let id = Self(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "expected a UUID such as 01920000-0000-7000-8000-000000000000")
        }
        self = id
    }

    /// Writes the text form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
