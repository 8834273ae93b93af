/// A place that `Encodable` types fill step by step; containers may be asked for twice, so it is a reference.
final class WireNode {
    private enum Content {
        case value(JSONValue)
        case members([String: WireNode])
        case elements([WireNode])
    }

    private var content: Content = .members([:])

    func set(_ value: JSONValue) { content = .value(value) }

    func becomeObject() {
        if case .members = content { return }
        content = .members([:])
    }

    func becomeArray() {
        if case .elements = content { return }
        content = .elements([])
    }

    func member(_ name: String) -> WireNode {
        let node = WireNode()
        guard case .members(var members) = content else { return node }
        content = .members([:])
        members[name] = node
        content = .members(members)
        return node
    }

    func element() -> WireNode {
        let node = WireNode()
        guard case .elements(var elements) = content else { return node }
        content = .elements([])
        elements.append(node)
        content = .elements(elements)
        return node
    }

    var elementCount: Int {
        if case .elements(let elements) = content { elements.count } else { 0 }
    }

    var finished: JSONValue {
        switch content {
        case .value(let value): value
        case .members(let members): .object(members.mapValues { $0.finished })
        case .elements(let elements): .array(elements.map { $0.finished })
        }
    }
}

/// Turns `Encodable` types into JSON; the other half of `WireDecoder`.
struct WireEncoder: Encoder {
    let node: WireNode
    let path: [any CodingKey]
    let convertsKeys: Bool

    var codingPath: [any CodingKey] { path }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func encode<Value: Encodable>(_ value: Value) throws {
        if let json = value as? JSONValue {
            node.set(json)
        } else {
            try value.encode(to: WireEncoder(node: node, path: path, convertsKeys: !(value is any StringKeyed)))
        }
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        node.becomeObject()
        return KeyedEncodingContainer(WireKeyedEncoding<Key>(encoder: self))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        node.becomeArray()
        return WireUnkeyedEncoding(encoder: self)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    func descend(_ node: WireNode, _ key: any CodingKey) -> WireEncoder {
        WireEncoder(node: node, path: path + [key], convertsKeys: true)
    }
}

extension WireEncoder: SingleValueEncodingContainer {
    func encodeNil() { node.set(.null) }
    func encode(_ value: Bool) { node.set(.bool(value)) }
    func encode(_ value: String) { node.set(.string(value)) }
    func encode(_ value: Double) throws {
        guard let number = JSONNumber(value) else {
            throw EncodingError.invalidValue(value, .init(codingPath: path, debugDescription: "JSON has no word for this number"))
        }
        node.set(.number(number))
    }
    func encode(_ value: Float) throws {
        guard value.isFinite else { return try encode(Double(value)) }
        node.set(.number(JSONNumber(validated: value.description)))
    }
    func encode(_ value: Int) { node.set(.integer(Int64(value))) }
    func encode(_ value: Int8) { node.set(.integer(Int64(value))) }
    func encode(_ value: Int16) { node.set(.integer(Int64(value))) }
    func encode(_ value: Int32) { node.set(.integer(Int64(value))) }
    func encode(_ value: Int64) { node.set(.integer(value)) }
    func encode(_ value: UInt) { encode(UInt64(value)) }
    func encode(_ value: UInt8) { node.set(.integer(Int64(value))) }
    func encode(_ value: UInt16) { node.set(.integer(Int64(value))) }
    func encode(_ value: UInt32) { node.set(.integer(Int64(value))) }
    func encode(_ value: UInt64) {
        node.set(Int64(exactly: value).map { .integer($0) } ?? .number(JSONNumber(validated: String(value))))
    }
}

private struct WireKeyedEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoder: WireEncoder

    var codingPath: [any CodingKey] { encoder.path }

    func member(_ key: any CodingKey) -> WireEncoder {
        let name = encoder.convertsKeys ? WireJSON.wireName(key.stringValue) : key.stringValue
        return encoder.descend(encoder.node.member(name), WireKey(stringValue: name))
    }

    mutating func encodeNil(forKey key: Key) { member(key).encodeNil() }
    mutating func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws { try member(key).encode(value) }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
        member(key).container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { member(key).unkeyedContainer() }
    mutating func superEncoder() -> any Encoder { member(WireKey.superKey) }
    mutating func superEncoder(forKey key: Key) -> any Encoder { member(key) }
}

private struct WireUnkeyedEncoding: UnkeyedEncodingContainer {
    let encoder: WireEncoder

    var codingPath: [any CodingKey] { encoder.path }
    var count: Int { encoder.node.elementCount }

    func element() -> WireEncoder {
        let key = WireKey(intValue: count)
        return encoder.descend(encoder.node.element(), key)
    }

    mutating func encodeNil() { element().encodeNil() }
    mutating func encode<Value: Encodable>(_ value: Value) throws { try element().encode(value) }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        element().container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { element().unkeyedContainer() }
    mutating func superEncoder() -> any Encoder { element() }
}
