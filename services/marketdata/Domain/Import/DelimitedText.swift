import Bars

/// Lines of fields over bytes: no string is made unless somebody asks for one.
struct DelimitedText {
    let bytes: [UInt8]
    private let separator: UInt8

    init(_ bytes: [UInt8], separator: UInt8) {
        // A byte order mark is no part of the first field.
        self.bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        self.separator = separator
    }

    /// One line's fields, valid only inside the loop's body.
    struct Row {
        /// 1 for the first line.
        let line: Int
        let buffer: UnsafeBufferPointer<UInt8>
        let edges: [Int]

        var count: Int { edges.count / 2 }

        func bytes(_ index: Int) -> UnsafeBufferPointer<UInt8> {
            guard index < count else { return UnsafeBufferPointer(start: nil, count: 0) }
            return UnsafeBufferPointer(rebasing: buffer[edges[index * 2]..<edges[index * 2 + 1]])
        }

        func number(_ index: Int) -> DecimalNumber? { DecimalNumber(bytes(index)) }

        func text(_ index: Int) -> String { String(decoding: bytes(index), as: UTF8.self) }

        /// A whole number without sign, of at most 18 digits.
        func integer(_ index: Int) -> Int64? { parseDigits(bytes(index)) }
    }

    /// Calls the body for each line that is not blank, from the given line on.
    func forEachRow(fromLine first: Int = 1, _ body: (Row) throws -> Void) rethrows {
        try bytes.withUnsafeBufferPointer { buffer in
            var line = 1
            var at = 0
            var edges: [Int] = []
            edges.reserveCapacity(32)
            while at < buffer.count {
                edges.removeAll(keepingCapacity: true)
                var fieldStart = at
                while at < buffer.count, buffer[at] != 0x0A {
                    if buffer[at] == separator {
                        edges.append(fieldStart)
                        edges.append(at)
                        fieldStart = at + 1
                    }
                    at += 1
                }
                let end = at > fieldStart && buffer[at - 1] == 0x0D ? at - 1 : at
                edges.append(fieldStart)
                edges.append(end)
                at += 1
                if line >= first, edges.count > 2 || end > fieldStart { try body(Row(line: line, buffer: buffer, edges: edges)) }
                line += 1
            }
        }
    }

    /// Where a line begins, 1 being the first.
    func offset(ofLine line: Int) -> Int {
        var at = 0
        for _ in 1..<max(line, 1) {
            guard let end = bytes[at...].firstIndex(of: 0x0A) else { return bytes.count }
            at = end + 1
        }
        return at
    }

    /// The first lines as text, for finding out the layout.
    func firstLines(_ count: Int) -> [String] {
        bytes.prefix(4_096).split(separator: 0x0A, maxSplits: count, omittingEmptySubsequences: false).prefix(count).map { line in
            String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
        }
    }
}

/// A whole number without sign, of at most 18 digits.
func parseDigits(_ bytes: UnsafeBufferPointer<UInt8>) -> Int64? {
    guard bytes.count > 0, bytes.count <= 18 else { return nil }
    var value: Int64 = 0
    for byte in bytes {
        guard byte >= 0x30, byte <= 0x39 else { return nil }
        value = value * 10 + Int64(byte - 0x30)
    }
    return value
}
