/// A received message head as it came: its bytes, and where in them each part lies. Strings are made only of what somebody asks for.
final class HeaderBlock: Sendable {
    struct Field: Sendable {
        let nameStart: Int32
        let nameEnd: Int32
        let valueStart: Int32
        let valueEnd: Int32
    }

    let bytes: [UInt8]
    let fields: [Field]

    init(bytes: [UInt8], fields: [Field]) {
        self.bytes = bytes
        self.fields = fields
    }

    static let empty = HeaderBlock(bytes: [], fields: [])

    func text(_ range: Range<Int>) -> String {
        bytes.withUnsafeBytes { String(decoding: UnsafeRawBufferPointer(rebasing: $0[range]), as: UTF8.self) }
    }

    func name(_ field: Field) -> String { text(Int(field.nameStart)..<Int(field.nameEnd)) }
    func value(_ field: Field) -> String { text(Int(field.valueStart)..<Int(field.valueEnd)) }

    /// The first field of that name; `name` in lower case.
    func first(_ name: StaticString) -> Field? {
        bytes.withUnsafeBytes { bytes in
            fields.first { UnsafeRawBufferPointer(rebasing: bytes[Int($0.nameStart)..<Int($0.nameEnd)]).matchesIgnoringCase(name) }
        }
    }

    func first(named name: String) -> Field? {
        let length = name.utf8.count
        return bytes.withUnsafeBytes { bytes in
            fields.first { field in
                guard Int(field.nameEnd - field.nameStart) == length else { return false }
                var index = Int(field.nameStart)
                for byte in name.utf8 {
                    if bytes[index].lowercasedASCII != byte.lowercasedASCII { return false }
                    index += 1
                }
                return true
            }
        }
    }

    func value(_ name: StaticString) -> String? { first(name).map(value) }
}
