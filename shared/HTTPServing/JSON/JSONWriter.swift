/// Writes flat JSON by hand where an encoder would cost more than the answer: problems, access log lines, small hot bodies.
public struct JSONWriter: Sendable {
    /// What has been written.
    public private(set) var bytes: [UInt8] = []
    private var needsComma = false

    /// A writer that has room for `capacity` bytes.
    public init(capacity: Int = 256) { bytes.reserveCapacity(capacity) }

    /// `{`
    public mutating func beginObject() {
        bytes.append(0x7B)
        needsComma = false
    }

    /// `}`
    public mutating func endObject() {
        bytes.append(0x7D)
        needsComma = true
    }

    /// `"key":"value"`, escaped.
    public mutating func member(_ key: String, _ value: String) {
        self.key(key)
        string(value)
    }

    /// `"key":number`
    public mutating func member(_ key: String, _ value: Int) {
        self.key(key)
        bytes.append(contentsOf: String(value).utf8)
        needsComma = true
    }

    /// `"key":true`
    public mutating func member(_ key: String, _ value: Bool) {
        self.key(key)
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
        needsComma = true
    }

    /// `"key":` and JSON that was made elsewhere.
    public mutating func member(_ key: String, raw: some Sequence<UInt8>) {
        self.key(key)
        bytes.append(contentsOf: raw)
        needsComma = true
    }

    /// `"key":` with the value to follow by ``string(_:)`` or an object.
    public mutating func key(_ key: String) {
        if needsComma { bytes.append(0x2C) }
        string(key)
        bytes.append(0x3A)
    }

    /// A string with its quotes, escaped.
    public mutating func string(_ text: String) {
        bytes.append(0x22)
        var text = text
        text.withUTF8 { utf8 in
            for byte in utf8 {
                switch byte {
                case 0x22, 0x5C:
                    bytes.append(0x5C)
                    bytes.append(byte)
                case 0..<0x20:
                    let digits: StaticString = "0123456789abcdef"
                    bytes.append(contentsOf: [
                        0x5C, 0x75, 0x30, 0x30, digits.utf8Start[Int(byte >> 4)], digits.utf8Start[Int(byte & 15)],
                    ])
                default: bytes.append(byte)
                }
            }
        }
        bytes.append(0x22)
        needsComma = true
    }
}
