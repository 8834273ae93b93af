/// The 32 bytes of a SHA-256: the name of a blob, a version, a key. Lower-case hex on the wire.
public struct SHA256Digest: Sendable, Hashable {
    /// Exactly 32 bytes.
    public let bytes: [UInt8]

    /// Takes 32 bytes; nil for any other number.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Reads 64 hex characters in either case; nil for anything else.
    public init?(hex: String) {
        guard let bytes = Hex.decode(hex), bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// 64 lower-case hex characters.
    public var hex: String { Hex.encode(bytes) }
}

extension SHA256Digest: LosslessStringConvertible, Comparable {
    /// The same as `init?(hex:)`, so that a digest can be a path parameter.
    public init?(_ description: String) {
        self.init(hex: description)
    }

    /// The hex form.
    public var description: String { hex }

    /// Orders by the bytes.
    public static func < (left: SHA256Digest, right: SHA256Digest) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

extension SHA256Digest: Codable {
    /// Reads the hex form; other text is a `DecodingError.dataCorrupted`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let digest = SHA256Digest(hex: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "expected 64 hex characters")
        }
        self = digest
    }

    /// Writes the hex form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(hex)
    }
}
