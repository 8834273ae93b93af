import Contracts

/// Makes text of what a program prints while it prints it: characters that two reads divide stay whole, and what is no text is replaced as in ``CapturedLog``.
struct PrintedText: Sendable {
    private var rest: [UInt8] = []

    /// The whole characters so far.
    mutating func take(_ bytes: some Collection<UInt8>) -> String {
        rest += bytes
        let end = rest.count - Self.unfinished(rest)
        let text = HarmlessText.clean(String(decoding: rest[..<end], as: UTF8.self))
        rest.removeFirst(end)
        return text
    }

    /// How many bytes at the end begin a character that may still be completed.
    private static func unfinished(_ bytes: [UInt8]) -> Int {
        for back in 1...3 where bytes.count >= back {
            let byte = bytes[bytes.count - back]
            if byte & 0xC0 == 0x80 { continue }
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return length > back ? back : 0
        }
        return 0
    }
}
