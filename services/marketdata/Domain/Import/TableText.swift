import Bars

/// Lines of fields as spreadsheets and programs of all kinds write them: any separator, quotes, blanks around fields, a decimal comma.
struct TableText {
    private let bytes: [UInt8]
    let separator: UInt8
    /// Whether a comma stands before the decimals, and a dot between thousands.
    var hasDecimalComma = false

    init(_ bytes: [UInt8], separator: UInt8) {
        // A byte order mark is no part of the first field.
        self.bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        self.separator = separator
    }

    /// One line's fields without the quotes and blanks around them, valid only inside the loop's body.
    struct Row {
        /// 1 for the first line.
        let line: Int
        fileprivate let buffer: UnsafeBufferPointer<UInt8>
        fileprivate let edges: [Int]
        fileprivate let hasDecimalComma: Bool

        var count: Int { edges.count / 2 }

        func bytes(_ index: Int) -> UnsafeBufferPointer<UInt8> {
            guard index < count else { return UnsafeBufferPointer(start: nil, count: 0) }
            return UnsafeBufferPointer(rebasing: buffer[edges[index * 2]..<edges[index * 2 + 1]])
        }

        func text(_ index: Int) -> String { String(decoding: bytes(index), as: UTF8.self) }

        func texts() -> [String] { (0..<count).map(text) }

        /// A number, perhaps with a currency before it, commas between its thousands, or K, M or B behind it.
        func number(_ index: Int) -> DecimalNumber? {
            let bytes = bytes(index)
            if !hasDecimalComma, let plain = DecimalNumber(bytes) { return plain }
            return TableText.number(bytes, hasDecimalComma: hasDecimalComma)
        }
    }

    /// Calls the body for each line that is not blank, from the given line on, until it says false.
    func forEachRow<Failure: Error>(fromLine first: Int = 1, _ body: (Row) throws(Failure) -> Bool) throws(Failure) {
        try bytes.withUnsafeBufferPointer { (buffer) throws(Failure) in
            var line = 1
            var at = 0
            var edges: [Int] = []
            edges.reserveCapacity(32)
            while at < buffer.count {
                edges.removeAll(keepingCapacity: true)
                var fieldStart = at
                var isQuoted = false
                while at < buffer.count, buffer[at] != 0x0A {
                    if buffer[at] == 0x22 {
                        isQuoted.toggle()
                    } else if buffer[at] == separator, !isQuoted {
                        append(fieldStart, at, buffer, to: &edges)
                        fieldStart = at + 1
                    }
                    at += 1
                }
                append(fieldStart, at, buffer, to: &edges)
                at += 1
                let isBlank = edges.count == 2 && edges[0] == edges[1]
                if line >= first, !isBlank,
                    try !body(Row(line: line, buffer: buffer, edges: edges, hasDecimalComma: hasDecimalComma))
                {
                    return
                }
                line += 1
            }
        }
    }

    /// The first lines that are not blank, each with its number.
    func firstRows(_ count: Int) -> [(line: Int, fields: [String])] {
        var rows: [(Int, [String])] = []
        forEachRow { row in
            rows.append((row.line, row.texts()))
            return rows.count < count
        }
        return rows
    }

    private func append(_ start: Int, _ end: Int, _ buffer: UnsafeBufferPointer<UInt8>, to edges: inout [Int]) {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0D || (byte == 0x09 && separator != 0x09) }
        var (start, end) = (start, end)
        while start < end, isBlank(buffer[start]) { start += 1 }
        while end > start, isBlank(buffer[end - 1]) { end -= 1 }
        if end - start >= 2, buffer[start] == 0x22, buffer[end - 1] == 0x22 {
            start += 1
            end -= 1
            while start < end, isBlank(buffer[start]) { start += 1 }
            while end > start, isBlank(buffer[end - 1]) { end -= 1 }
        }
        edges.append(start)
        edges.append(end)
    }

    private static func number(_ bytes: UnsafeBufferPointer<UInt8>, hasDecimalComma: Bool) -> DecimalNumber? {
        guard bytes.count > 0, bytes.count < 48 else { return nil }
        var plain: [UInt8] = []
        plain.reserveCapacity(bytes.count + 2)
        var sinceGroup: Int?
        var hasPoint = false
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case 0x24 where index < 2: continue  // $
            case hasDecimalComma ? 0x2C : 0x2E:
                guard !hasPoint, sinceGroup ?? 3 == 3 else { return nil }
                hasPoint = true
                sinceGroup = nil
                plain.append(0x2E)
            case hasDecimalComma ? 0x2E : 0x2C:
                // Between thousands, and nowhere else.
                guard !hasPoint, sinceGroup ?? 3 == 3, plain.contains(where: { (0x30...0x39).contains($0) }) else { return nil }
                sinceGroup = 0
            case 0x30...0x39:
                plain.append(byte)
                sinceGroup = sinceGroup.map { $0 + 1 }
            case 0x2B, 0x2D, 0x45, 0x65: plain.append(byte)
            case 0x4B, 0x6B, 0x4D, 0x6D, 0x42, 0x62:  // K M B
                guard index == bytes.count - 1, sinceGroup ?? 3 == 3 else { return nil }
                let power = byte & 0xDF == 0x4B ? "e3" : byte & 0xDF == 0x4D ? "e6" : "e9"
                plain.append(contentsOf: power.utf8)
                sinceGroup = nil
            default: return nil
            }
        }
        guard sinceGroup ?? 3 == 3 else { return nil }
        return plain.withUnsafeBufferPointer { DecimalNumber($0) }
    }
}
