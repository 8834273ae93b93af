internal import Contracts

/// A decoder over parsed JSON that keeps the path of each field and notes what was asked for.
struct StrictDecoder: Decoder, SingleValueDecodingContainer {
    let value: JSONValue
    let path: [any CodingKey]
    let tracker: StrictFieldTracker
    /// Inside a dictionary the names are data: they are taken as they are.
    var keysAreData = false

    var codingPath: [any CodingKey] { path }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    var pathText: String { StrictJSON.fieldPath(path) ?? "" }

    func decodeValue<T: Decodable>(_ type: T.Type) throws -> T {
        // Numbers inside free JSON stay as they were written.
        if let exact = value as? T { return exact }
        if type is any StringKeyedDictionary.Type {
            return try T(from: StrictDecoder(value: value, path: path, tracker: tracker, keysAreData: true))
        }
        return try T(from: StrictDecoder(value: value, path: path, tracker: tracker))
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .object(let members) = value else { throw mismatch(type, "an object") }
        let text = pathText
        tracker.opened(text, members: members)
        return KeyedDecodingContainer(StrictKeyedContainer<Key>(members: members, decoder: self, pathText: text))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let elements) = value else { throw mismatch([JSONValue].self, "a list") }
        return StrictUnkeyedContainer(elements: elements, decoder: self)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

    func mismatch(_ type: any Any.Type, _ expected: String) -> DecodingError {
        .typeMismatch(type, .init(codingPath: path, debugDescription: "expected \(expected), found \(value.kindName)"))
    }

    func descend(_ value: JSONValue, _ key: any CodingKey) -> StrictDecoder {
        StrictDecoder(value: value, path: path + [key], tracker: tracker)
    }

    private func integer<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
        switch value {
        case .integer(let number):
            if let exact = T(exactly: number) { return exact }
        case .number(let number):
            if let exact = T(number.text) { return exact }
            throw mismatch(type, "a whole number")
        default: throw mismatch(type, "a whole number")
        }
        throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: "expected a whole number from \(T.min) to \(T.max)"))
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
    func decode(_ type: Double.Type) throws -> Double {
        guard let number = value.double else { throw mismatch(type, "a number") }
        guard number.isFinite else {
            throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: "expected a number in the range of doubles"))
        }
        return number
    }
    func decode(_ type: Float.Type) throws -> Float { Float(try decode(Double.self)) }
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
    func decode<T: Decodable>(_ type: T.Type) throws -> T { try decodeValue(type) }
}

private protocol StringKeyedDictionary {}
extension Dictionary: StringKeyedDictionary where Key == String {}

/// A coding key in the spelling of the wire.
private struct StrictKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(stringValue: String) {
        self.stringValue = stringValue
        intValue = nil
    }

    init(intValue: Int) {
        stringValue = String(intValue)
        self.intValue = intValue
    }
}

private struct StrictKeyedContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let members: [String: JSONValue]
    let decoder: StrictDecoder
    let pathText: String

    var codingPath: [any CodingKey] { decoder.path }

    var allKeys: [Key] {
        decoder.tracker.askedForAll(pathText)
        return members.keys.compactMap { Key(stringValue: $0) }
    }

    private func name(_ key: any CodingKey) -> String {
        let name = decoder.keysAreData ? key.stringValue : WireJSON.wireName(key.stringValue)
        decoder.tracker.asked(pathText, name)
        return name
    }

    private func member(_ key: any CodingKey) throws -> StrictDecoder {
        let name = name(key)
        let wireKey = StrictKey(stringValue: name)
        guard let value = members[name] else {
            throw DecodingError.keyNotFound(wireKey, .init(codingPath: decoder.path, debugDescription: "the field is missing"))
        }
        return decoder.descend(value, wireKey)
    }

    func contains(_ key: Key) -> Bool { members[name(key)] != nil }
    func decodeNil(forKey key: Key) throws -> Bool { try member(key).value.isNull }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try member(key).decodeValue(type) }
    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
        try member(key).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try member(key).unkeyedContainer() }
    func superDecoder() throws -> any Decoder { try member(StrictKey(stringValue: "super")) }
    func superDecoder(forKey key: Key) throws -> any Decoder { try member(key) }
}

private struct StrictUnkeyedContainer: UnkeyedDecodingContainer {
    let elements: [JSONValue]
    let decoder: StrictDecoder
    private(set) var currentIndex = 0

    init(elements: [JSONValue], decoder: StrictDecoder) {
        self.elements = elements
        self.decoder = decoder
    }

    var codingPath: [any CodingKey] { decoder.path }
    var count: Int? { elements.count }
    var isAtEnd: Bool { currentIndex >= elements.count }

    private func current() throws -> StrictDecoder {
        let key = StrictKey(intValue: currentIndex)
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(
                JSONValue.self,
                .init(codingPath: decoder.path + [key], debugDescription: "expected one more element")
            )
        }
        return decoder.descend(elements[currentIndex], key)
    }

    mutating func decodeNil() throws -> Bool {
        guard try current().value.isNull else { return false }
        currentIndex += 1
        return true
    }
    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
        let value = try current().decodeValue(type)
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
