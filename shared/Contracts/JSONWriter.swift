/// Writes JSON without blanks, members sorted by the bytes of their names: the same value always gives the same bytes.
enum JSONWriter {
    static func write(_ value: JSONValue) -> [UInt8] { write(.value(value)) }

    static func write(_ piece: WireEncoder.Piece) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(256)
        append(piece, to: &out)
        return out
    }

    private static func append(_ piece: WireEncoder.Piece, to out: inout [UInt8]) {
        switch piece {
        case .value(let value): append(value, to: &out)
        case .place(let place):
            switch place.content {
            case .value(let value): append(value, to: &out)
            case .elements(let elements):
                out.append(UInt8(ascii: "["))
                for (index, element) in elements.enumerated() {
                    if index > 0 { out.append(UInt8(ascii: ",")) }
                    append(element, to: &out)
                }
                out.append(UInt8(ascii: "]"))
            case .members(let members):
                out.append(UInt8(ascii: "{"))
                // The sort keeps the order of what is equal: of two with one name the last counts.
                let sorted = members.sorted { precedes($0.name, $1.name) }
                var isFirst = true
                for (index, member) in sorted.enumerated() where index + 1 == sorted.count || sorted[index + 1].name != member.name {
                    if !isFirst { out.append(UInt8(ascii: ",")) }
                    isFirst = false
                    append(member.name, to: &out)
                    out.append(UInt8(ascii: ":"))
                    append(member.piece, to: &out)
                }
                out.append(UInt8(ascii: "}"))
            }
        }
    }

    /// By the bytes.
    private static func precedes(_ left: String, _ right: String) -> Bool {
        var (left, right) = (left, right)
        return left.withUTF8 { left in right.withUTF8 { right in left.lexicographicallyPrecedes(right) } }
    }

    private static func append(_ value: JSONValue, to out: inout [UInt8]) {
        switch value {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): out.append(contentsOf: String(value).utf8)
        case .number(let number): out.append(contentsOf: number.text.utf8)
        case .string(let text): append(text, to: &out)
        case .array(let elements):
            out.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                append(element, to: &out)
            }
            out.append(UInt8(ascii: "]"))
        case .object(let members):
            out.append(UInt8(ascii: "{"))
            let sorted = members.sorted { precedes($0.key, $1.key) }
            for (index, member) in sorted.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                append(member.key, to: &out)
                out.append(UInt8(ascii: ":"))
                append(member.value, to: &out)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    private static func append(_ text: String, to out: inout [UInt8]) {
        var text = text
        out.append(UInt8(ascii: "\""))
        text.withUTF8 { bytes in
            if bytes.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
                out.append(contentsOf: bytes)
            } else {
                for byte in bytes { escape(byte, into: &out) }
            }
        }
        out.append(UInt8(ascii: "\""))
    }

    private static func escape(_ byte: UInt8, into out: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            out.append(UInt8(ascii: "\\"))
            out.append(byte)
        case 0x0A: out.append(contentsOf: "\\n".utf8)
        case 0x0D: out.append(contentsOf: "\\r".utf8)
        case 0x09: out.append(contentsOf: "\\t".utf8)
        case 0..<0x20: out.append(contentsOf: "\\u00\(Hex.encode([byte]))".utf8)
        default: out.append(byte)
        }
    }
}
