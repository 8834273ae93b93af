/// Reads `Decodable` types from parsed JSON; the other half of `WireEncoder`.
///
/// A reference, because `Decodable` hands decoders and containers around as existentials, which copy anything larger to the heap each time. The path of a
/// value is only put together for an error.
final class WireDecoder: Decoder {
    let value: JSONValue
    private let parent: WireDecoder?
    private let key: WireKey?
    /// Whom it tells what is asked for, if anybody wants to know.
    let reads: FieldReads?
    /// What is read: the members of a dictionary have names that are data.
    private let type: any Any.Type

    init(value: JSONValue, type: any Any.Type, reads: FieldReads? = nil, parent: WireDecoder? = nil, key: WireKey? = nil) {
        self.value = value
        self.type = type
        self.reads = reads
        self.parent = parent
        self.key = key
    }

    var userInfo: [CodingUserInfoKey: Any] { [:] }

    var codingPath: [any CodingKey] {
        var path: [any CodingKey] = []
        var place: WireDecoder? = self
        while let current = place {
            if let key = current.key { path.append(key) }
            place = current.parent
        }
        return path.reversed()
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from value: JSONValue, reads: FieldReads?) throws -> Value {
        if type == JSONValue.self, let value = value as? Value { return value }
        return try Value(from: WireDecoder(value: value, type: type, reads: reads))
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .object(let members) = value else { throw mismatch([String: JSONValue].self, "an object") }
        return KeyedDecodingContainer(
            WireKeyedDecoding<Key>(
                members: members,
                decoder: self,
                convertsKeys: !(self.type is any StringKeyed.Type),
                opened: reads?.opened(self, members: members)
            )
        )
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let elements) = value else { throw mismatch([JSONValue].self, "a list") }
        return WireUnkeyedDecoding(elements: elements, decoder: self)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { self }

    func below(_ value: JSONValue, _ key: WireKey, as type: any Any.Type = JSONValue.self) -> WireDecoder {
        WireDecoder(value: value, type: type, reads: reads, parent: self, key: key)
    }

    func decode<Value: Decodable>(_ type: Value.Type, _ value: JSONValue, at key: @autoclosure () -> WireKey) throws -> Value {
        if type == JSONValue.self, let value = value as? Value { return value }
        return try Value(from: below(value, key(), as: type))
    }

    func mismatch(_ type: any Any.Type, _ expected: String) -> DecodingError {
        let context = DecodingError.Context(codingPath: codingPath, debugDescription: "expected \(expected), found \(value.kindName)")
        return value.isNull ? .valueNotFound(type, context) : .typeMismatch(type, context)
    }

    func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
        let whole: Value?
        switch value {
        case .integer(let number): whole = Value(exactly: number)
        case .number(let number):
            guard let exact = Value(number.text) else { throw mismatch(type, "a whole number") }
            whole = exact
        default: throw mismatch(type, "a whole number")
        }
        guard let whole else {
            let context = DecodingError.Context(codingPath: codingPath, debugDescription: "expected a whole number from \(Value.min) to \(Value.max)")
            throw DecodingError.dataCorrupted(context)
        }
        return whole
    }

    func double() throws -> Double {
        guard let number = value.double else { throw mismatch(Double.self, "a number") }
        guard number.isFinite else {
            throw DecodingError.dataCorrupted(.init(codingPath: codingPath, debugDescription: "expected a number in the range of doubles"))
        }
        return number
    }
}

extension WireDecoder: SingleValueDecodingContainer {
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        if type == JSONValue.self, let value = value as? Value { return value }
        return try Value(from: WireDecoder(value: value, type: type, reads: reads, parent: parent, key: key))
    }

    func decodeNil() -> Bool { value.isNull }
    func decode(_ type: Bool.Type) throws -> Bool {
        guard case .bool(let flag) = value else { throw mismatch(type, "true or false") }
        return flag
    }
    func decode(_ type: String.Type) throws -> String {
        guard case .string(let text) = value else { throw mismatch(type, "a string") }
        return text
    }
    func decode(_ type: Double.Type) throws -> Double { try double() }
    func decode(_ type: Float.Type) throws -> Float { Float(try double()) }
    func decode(_ type: Int.Type) throws -> Int { try integer(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }
}

private struct WireKeyedDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let members: [String: JSONValue]
    let decoder: WireDecoder
    let convertsKeys: Bool
    let opened: FieldReads.Opened?

    var codingPath: [any CodingKey] { decoder.codingPath }
    var allKeys: [Key] {
        opened?.askedForAll()
        return members.keys.compactMap { Key(stringValue: $0) }
    }

    private func name(_ key: any CodingKey) -> String {
        let name = convertsKeys ? WireJSON.wireName(key.stringValue) : key.stringValue
        opened?.asked(name)
        return name
    }

    private func value(_ name: String) throws -> JSONValue {
        guard let value = members[name] else {
            let key = WireKey(stringValue: name)
            throw DecodingError.keyNotFound(key, .init(codingPath: decoder.codingPath + [key], debugDescription: "the field is missing"))
        }
        return value
    }

    private func member(_ key: any CodingKey) throws -> WireDecoder {
        let name = name(key)
        return decoder.below(try value(name), WireKey(stringValue: name))
    }

    /// What is there and not null, with its name.
    private func present(_ key: Key) -> (name: String, value: JSONValue)? {
        let name = name(key)
        guard let value = members[name], !value.isNull else { return nil }
        return (name, value)
    }

    func contains(_ key: Key) -> Bool { members[name(key)] != nil }
    func decodeNil(forKey key: Key) throws -> Bool { try value(name(key)).isNull }

    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        let name = name(key)
        let value = try value(name)
        if case .string(let text) = value { return text }
        return try decoder.below(value, WireKey(stringValue: name)).decode(type)
    }
    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        let name = name(key)
        return try decoder.decode(type, try value(name), at: WireKey(stringValue: name))
    }
    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? {
        guard let (name, value) = present(key) else { return nil }
        if case .string(let text) = value { return text }
        return try decoder.below(value, WireKey(stringValue: name)).decode(type)
    }
    func decodeIfPresent<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value? {
        guard let (name, value) = present(key) else { return nil }
        return try decoder.decode(type, value, at: WireKey(stringValue: name))
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
        try member(key).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try member(key).unkeyedContainer() }
    func superDecoder() throws -> any Decoder { try member(WireKey.superKey) }
    func superDecoder(forKey key: Key) throws -> any Decoder { try member(key) }
}

private struct WireUnkeyedDecoding: UnkeyedDecodingContainer {
    let elements: [JSONValue]
    let decoder: WireDecoder
    var currentIndex = 0

    init(elements: [JSONValue], decoder: WireDecoder) {
        self.elements = elements
        self.decoder = decoder
    }

    var codingPath: [any CodingKey] { decoder.codingPath }
    var count: Int? { elements.count }
    var isAtEnd: Bool { currentIndex >= elements.count }

    private func current() throws -> JSONValue {
        guard !isAtEnd else {
            let path = decoder.codingPath + [WireKey(intValue: currentIndex)]
            throw DecodingError.valueNotFound(JSONValue.self, .init(codingPath: path, debugDescription: "the list ends early"))
        }
        return elements[currentIndex]
    }

    private func element() throws -> WireDecoder { decoder.below(try current(), WireKey(intValue: currentIndex)) }

    mutating func decodeNil() throws -> Bool {
        guard try current().isNull else { return false }
        currentIndex += 1
        return true
    }
    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let value = try decoder.decode(type, try current(), at: WireKey(intValue: currentIndex))
        currentIndex += 1
        return value
    }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
        let container = try element().container(keyedBy: type)
        currentIndex += 1
        return container
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        let container = try element().unkeyedContainer()
        currentIndex += 1
        return container
    }
    mutating func superDecoder() throws -> any Decoder {
        let element = try element()
        currentIndex += 1
        return element
    }
}
