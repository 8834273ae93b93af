/// Writes FlatBuffers front to back: the few tables that the metadata of Arrow consists of, and no more of the format than they need.
///
/// A reference is the distance forward to what it refers to, so it is written as zero and filled in when that comes to stand somewhere.
/// A table refers back to its list of fields (`vtable`), which stands just before it. Everything is little-endian and aligned to its own
/// size, counted from the first byte.
struct FlatTables {
    /// What stands in one field of a table, in order of the schema's field numbers.
    enum Field {
        /// The field has its default.
        case absent
        case byte(UInt8)
        case short(Int16)
        case int(Int32)
        case long(Int64)
        /// What it refers to is filled in later.
        case reference

        fileprivate var width: Int {
            switch self {
            case .absent: 0
            case .byte: 1
            case .short: 2
            case .int, .reference: 4
            case .long: 8
            }
        }
    }

    private(set) var bytes: [UInt8] = []

    /// Begins with the reference to the root, which `refer(from: 0)` fills in just before the root is written.
    init() { append(0, width: 4) }

    /// Where a table stands, and where each of its fields.
    struct Table {
        var position: Int
        var fields: [Int]
    }

    /// Writes a table; `root` says from where it is referred to.
    mutating func table(from reference: Int, _ fields: [Field]) -> Table {
        // The table's own place is known only when its list of fields is written: both are laid out first.
        align(to: 2)
        let listLength = 4 + 2 * fields.count
        var start = bytes.count + listLength
        start += (4 - start % 4) % 4
        var end = start + 4
        var places: [Int] = []
        for field in fields {
            let width = field.width
            if width > 0 { end += (width - end % width) % width }
            places.append(width == 0 ? 0 : end)
            end += width
        }
        while bytes.count < start - listLength { bytes.append(0) }
        let list = bytes.count
        append(UInt64(listLength), width: 2)
        append(UInt64(end - start), width: 2)
        for place in places { append(place == 0 ? 0 : UInt64(place - start), width: 2) }
        append(UInt64(start - list), width: 4)
        for (field, place) in zip(fields, places) where place > 0 {
            while bytes.count < place { bytes.append(0) }
            switch field {
            case .absent: break
            case .byte(let value): append(UInt64(value), width: 1)
            case .short(let value): append(UInt64(UInt16(bitPattern: value)), width: 2)
            case .int(let value): append(UInt64(UInt32(bitPattern: value)), width: 4)
            case .long(let value): append(UInt64(bitPattern: value), width: 8)
            case .reference: append(0, width: 4)
            }
        }
        refer(from: reference, to: start)
        return Table(position: start, fields: places)
    }

    /// Writes a text.
    mutating func text(from reference: Int, _ text: String) {
        align(to: 4)
        refer(from: reference, to: bytes.count)
        append(UInt64(text.utf8.count), width: 4)
        bytes.append(contentsOf: text.utf8)
        bytes.append(0)
    }

    /// Writes a list of references; gives the place of each.
    mutating func references(from reference: Int, count: Int) -> [Int] {
        align(to: 4)
        refer(from: reference, to: bytes.count)
        append(UInt64(count), width: 4)
        let first = bytes.count
        for _ in 0..<count { append(0, width: 4) }
        return (0..<count).map { first + $0 * 4 }
    }

    /// Writes a list of structs that consist of two 64-bit numbers each.
    mutating func pairs(from reference: Int, _ pairs: [(Int64, Int64)]) {
        // The numbers have to lie at multiples of 8, so their count lies four bytes before one.
        while bytes.count % 8 != 4 { bytes.append(0) }
        refer(from: reference, to: bytes.count)
        append(UInt64(pairs.count), width: 4)
        for (first, second) in pairs {
            append(UInt64(bitPattern: first), width: 8)
            append(UInt64(bitPattern: second), width: 8)
        }
    }

    private mutating func align(to width: Int) { while bytes.count % width != 0 { bytes.append(0) } }

    private mutating func refer(from place: Int, to target: Int) {
        let distance = UInt32(target - place)
        for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: distance >> (8 * UInt32(index))) }
    }

    private mutating func append(_ value: UInt64, width: Int) { LittleEndian.append(value, width: width, to: &bytes) }
}
