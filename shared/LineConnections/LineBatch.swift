/// Whole lines as they came, in one piece: no line is copied unless somebody asks for it.
public struct LineBatch: Sendable {
    private let bytes: [UInt8]

    /// Takes bytes that end with a line feed.
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Calls the body with each line, without its CR LF or LF; the bytes are valid only inside the body.
    public func forEachLine(_ body: (UnsafeBufferPointer<UInt8>) throws -> Void) rethrows {
        try bytes.withUnsafeBufferPointer { buffer in
            var start = 0
            for at in 0..<buffer.count where buffer[at] == 0x0A {
                let end = at > start && buffer[at - 1] == 0x0D ? at - 1 : at
                try body(UnsafeBufferPointer(rebasing: buffer[start..<end]))
                start = at + 1
            }
        }
    }

    /// The lines as text, each byte one character (Latin-1).
    public var lines: [String] {
        var lines: [String] = []
        forEachLine { lines.append(Self.text($0)) }
        return lines
    }

    /// Bytes as text, each byte one character (Latin-1).
    public static func text(_ bytes: some Sequence<UInt8>) -> String {
        var text = String.UnicodeScalarView()
        for byte in bytes { text.append(Unicode.Scalar(byte)) }
        return String(text)
    }
}
