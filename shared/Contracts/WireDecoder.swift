/// Reads `Decodable` types from parsed JSON; the other half of `WireEncoder`.
struct WireDecoder: Decoder {
    let value: JSONValue
    let path: [any CodingKey]
    var convertsKeys = true
    /// Whom it tells what is asked for, if anybody wants to know.
    var reads: FieldReads?

    var codingPath: [any CodingKey] { path }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        if type == JSONValue.self, let value = value as? Value { return value }
        var decoder = self
        decoder.convertsKeys = !(type is any StringKeyed.Type)
        return try Value(from: decoder)
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .object(let members) = value else { throw mismatch([String: JSONValue].self, "an object") }
        // Only a reader that is told of them pays for the texts of paths.
        let place = reads == nil ? "" : WireJSON.text(ofPath: path)
        reads?.opened(place, members: members)
        return KeyedDecodingContainer(WireKeyedDecoding<Key>(members: members, decoder: self, place: place))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let elements) = value else { throw mismatch([JSONValue].self, "a list") }
        return WireUnkeyedDecoding(elements: elements, decoder: self)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { self }

    func descend(_ value: JSONValue, _ key: any CodingKey) -> WireDecoder {
        WireDecoder(value: value, path: path + [key], reads: reads)
    }

    func mismatch(_ type: any Any.Type, _ expected: String) -> DecodingError {
        let context = DecodingError.Context(codingPath: path, debugDescription: "expected \(expected), found \(value.kindName)")
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
            let context = DecodingError.Context(codingPath: path, debugDescription: "expected a whole number from \(Value.min) to \(Value.max)")
            throw DecodingError.dataCorrupted(context)
        }
        return whole
    }

    func double() throws -> Double {
        guard let number = value.double else { throw mismatch(Double.self, "a number") }
        guard number.isFinite else {
            throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: "expected a number in the range of doubles"))
        }
        return number
    }
}

extension WireDecoder: SingleValueDecodingContainer {
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
    let place: String

    var codingPath: [any CodingKey] { decoder.path }
    var allKeys: [Key] {
        decoder.reads?.askedForAll(place)
        return members.keys.compactMap { Key(stringValue: $0) }
    }

    func wireKey(_ key: any CodingKey) -> WireKey {
        let name = decoder.convertsKeys ? WireJSON.wireName(key.stringValue) : key.stringValue
        decoder.reads?.asked(place, name)
        return WireKey(stringValue: name)
    }

    func contains(_ key: Key) -> Bool { members[wireKey(key).stringValue] != nil }

    func member(_ key: any CodingKey) throws -> WireDecoder {
        let name = wireKey(key)
        guard let value = members[name.stringValue] else {
            throw DecodingError.keyNotFound(name, .init(codingPath: decoder.path + [name], debugDescription: "the field is missing"))
        }
        return decoder.descend(value, name)
    }

    func decodeNil(forKey key: Key) throws -> Bool { try member(key).value.isNull }
    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value { try member(key).decode(type) }
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

    var codingPath: [any CodingKey] { decoder.path }
    var count: Int? { elements.count }
    var isAtEnd: Bool { currentIndex >= elements.count }

    private func current() throws -> WireDecoder {
        let key = WireKey(intValue: currentIndex)
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(JSONValue.self, .init(codingPath: decoder.path + [key], debugDescription: "the list ends early"))
        }
        return decoder.descend(elements[currentIndex], key)
    }

    mutating func decodeNil() throws -> Bool {
        guard try current().value.isNull else { return false }
        currentIndex += 1
        return true
    }
    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let value = try current().decode(type)
        currentIndex += 1
        return value
    }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
        let container = try current().container(keyedBy: type)
        currentIndex += 1
        return container
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        let container = try current().unkeyedContainer()
        currentIndex += 1
        return container
    }
    mutating func superDecoder() throws -> any Decoder {
        let element = try current()
        currentIndex += 1
        return element
    }
}
