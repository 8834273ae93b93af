internal import CRabbitMQ

/// Memory that lives as long as one C call needs it.
final class Arena {
    private var blocks: [UnsafeMutableRawPointer] = []

    func bytes(_ text: String) -> amqp_bytes_t {
        var text = text
        return text.withUTF8 { copy(UnsafeRawBufferPointer($0)) }
    }

    func bytes(_ content: [UInt8]) -> amqp_bytes_t {
        content.withUnsafeBytes { copy($0) }
    }

    func table(_ headers: [String: HeaderValue]) -> amqp_table_t {
        guard !headers.isEmpty else { return amqp_empty_table }
        let entries = UnsafeMutablePointer<amqp_table_entry_t>.allocate(capacity: headers.count)
        blocks.append(UnsafeMutableRawPointer(entries))
        var count = 0
        for (name, value) in headers {
            guard let field = field(value) else { continue }
            entries[count].key = bytes(name)
            entries[count].value = field
            count += 1
        }
        return amqp_table_t(num_entries: Int32(count), entries: entries)
    }

    func free() {
        for block in blocks { block.deallocate() }
        blocks = []
    }

    private func field(_ value: HeaderValue) -> amqp_field_value_t? {
        var field = amqp_field_value_t()
        switch value {
        case .text(let text):
            field.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
            field.value.bytes = bytes(text)
        case .integer(let number):
            field.kind = UInt8(AMQP_FIELD_KIND_I64.rawValue)
            field.value.i64 = number
        case .boolean(let flag):
            field.kind = UInt8(AMQP_FIELD_KIND_BOOLEAN.rawValue)
            field.value.boolean = flag ? 1 : 0
        case .list, .table, .other:
            return nil
        }
        return field
    }

    private func copy(_ source: UnsafeRawBufferPointer) -> amqp_bytes_t {
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(1, source.count), alignment: 8)
        if let base = source.baseAddress { block.copyMemory(from: base, byteCount: source.count) }
        blocks.append(block)
        return amqp_bytes_t(len: source.count, bytes: block)
    }

    deinit { free() }
}

extension amqp_bytes_t {
    var array: [UInt8] {
        guard let bytes, len > 0 else { return [] }
        return Array(UnsafeRawBufferPointer(start: bytes, count: len))
    }

    /// The text; bytes that are no UTF-8 become replacement characters.
    var text: String {
        guard let bytes, len > 0 else { return "" }
        return String(decoding: UnsafeRawBufferPointer(start: bytes, count: len), as: UTF8.self)
    }
}

extension amqp_table_t {
    var headers: [String: HeaderValue] {
        var headers: [String: HeaderValue] = [:]
        for index in 0..<Int(num_entries) { headers[entries[index].key.text] = entries[index].value.header(depth: 0) }
        return headers
    }
}

extension amqp_field_value_t {
    /// The broker nests `x-death` two deep; what is deeper is of no use to us.
    func header(depth: Int) -> HeaderValue {
        guard depth < 4 else { return .other }
        switch UInt32(kind) {
        case AMQP_FIELD_KIND_UTF8.rawValue, AMQP_FIELD_KIND_BYTES.rawValue: return .text(value.bytes.text)
        case AMQP_FIELD_KIND_I64.rawValue: return .integer(value.i64)
        case AMQP_FIELD_KIND_I32.rawValue: return .integer(Int64(value.i32))
        case AMQP_FIELD_KIND_I16.rawValue: return .integer(Int64(value.i16))
        case AMQP_FIELD_KIND_I8.rawValue: return .integer(Int64(value.i8))
        case AMQP_FIELD_KIND_TIMESTAMP.rawValue, AMQP_FIELD_KIND_U64.rawValue: return .integer(Int64(clamping: value.u64))
        case AMQP_FIELD_KIND_BOOLEAN.rawValue: return .boolean(value.boolean != 0)
        case AMQP_FIELD_KIND_ARRAY.rawValue:
            return .list((0..<Int(value.array.num_entries)).map { value.array.entries[$0].header(depth: depth + 1) })
        case AMQP_FIELD_KIND_TABLE.rawValue:
            var members: [String: HeaderValue] = [:]
            for index in 0..<Int(value.table.num_entries) {
                members[value.table.entries[index].key.text] = value.table.entries[index].value.header(depth: depth + 1)
            }
            return .table(members)
        default: return .other
        }
    }
}
