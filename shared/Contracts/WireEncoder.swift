/// Turns `Encodable` types into JSON; the other half of `WireDecoder`.
///
/// A place that such a type fills step by step. A reference, because containers may be asked for twice, and because `Encodable` hands encoders around as
/// existentials, which copy anything larger to the heap each time. What is whole already is kept as a value, so most fields need no place of their own.
final class WireEncoder: Encoder {
    enum Piece {
        case value(JSONValue)
        case place(WireEncoder)

        var finished: JSONValue {
            switch self {
            case .value(let value): value
            case .place(let place): place.finished
            }
        }
    }

    enum Content {
        case value(JSONValue)
        /// Of two with one name the last counts.
        case members([(name: String, piece: Piece)])
        case elements([Piece])
    }

    private(set) var content: Content = .members([])
    private unowned let parent: WireEncoder?
    private let key: WireKey?
    /// What is written: the members of a dictionary have names that are data.
    private var type: any Any.Type

    init(type: any Any.Type, parent: WireEncoder? = nil, key: WireKey? = nil) {
        self.type = type
        self.parent = parent
        self.key = key
    }

    var userInfo: [CodingUserInfoKey: Any] { [:] }

    var codingPath: [any CodingKey] {
        var path: [any CodingKey] = []
        var place: WireEncoder? = self
        while let current = place {
            if let key = current.key { path.append(key) }
            place = current.parent
        }
        return path.reversed()
    }

    /// The value as it is now.
    var finished: JSONValue {
        switch content {
        case .value(let value): return value
        case .members(let members):
            var finished = [String: JSONValue](minimumCapacity: members.count)
            for member in members { finished[member.name] = member.piece.finished }
            return .object(finished)
        case .elements(let elements): return .array(elements.map(\.finished))
        }
    }

    static func piece<Value: Encodable>(of value: Value, in parent: WireEncoder? = nil, at key: @autoclosure () -> WireKey? = nil) throws -> Piece {
        if Value.self == JSONValue.self, let json = value as? JSONValue { return .value(json) }
        let place = WireEncoder(type: Value.self, parent: parent, key: key())
        try value.encode(to: place)
        if case .value(let value) = place.content { return .value(value) }
        return .place(place)
    }

    func set(_ value: JSONValue) { content = .value(value) }

    func add(_ name: String, _ piece: Piece) {
        guard case .members(var members) = content else { return }
        content = .members([])
        members.append((name, piece))
        content = .members(members)
    }

    func add(_ piece: Piece) {
        guard case .elements(var elements) = content else { return }
        content = .elements([])
        elements.append(piece)
        content = .elements(elements)
    }

    var elementCount: Int {
        if case .elements(let elements) = content { elements.count } else { 0 }
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if case .members = content {} else { content = .members([]) }
        return KeyedEncodingContainer(WireKeyedEncoding<Key>(encoder: self, convertsKeys: !(self.type is any StringKeyed.Type)))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        if case .elements = content {} else { content = .elements([]) }
        return WireUnkeyedEncoding(encoder: self)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }
}

extension WireEncoder: SingleValueEncodingContainer {
    func encode<Value: Encodable>(_ value: Value) throws {
        if Value.self == JSONValue.self, let json = value as? JSONValue { return set(json) }
        let outer = type
        type = Value.self
        defer { type = outer }
        try value.encode(to: self)
    }

    func encodeNil() { set(.null) }
    func encode(_ value: Bool) { set(.bool(value)) }
    func encode(_ value: String) { set(.string(value)) }
    func encode(_ value: Double) throws {
        guard let number = JSONNumber(value) else {
            throw EncodingError.invalidValue(value, .init(codingPath: codingPath, debugDescription: "JSON has no word for this number"))
        }
        set(.number(number))
    }
    func encode(_ value: Float) throws {
        guard value.isFinite else { return try encode(Double(value)) }
        set(.number(JSONNumber(validated: value.description)))
    }
    func encode(_ value: Int) { set(.integer(Int64(value))) }
    func encode(_ value: Int8) { set(.integer(Int64(value))) }
    func encode(_ value: Int16) { set(.integer(Int64(value))) }
    func encode(_ value: Int32) { set(.integer(Int64(value))) }
    func encode(_ value: Int64) { set(.integer(value)) }
    func encode(_ value: UInt) { encode(UInt64(value)) }
    func encode(_ value: UInt8) { set(.integer(Int64(value))) }
    func encode(_ value: UInt16) { set(.integer(Int64(value))) }
    func encode(_ value: UInt32) { set(.integer(Int64(value))) }
    func encode(_ value: UInt64) {
        set(Int64(exactly: value).map { .integer($0) } ?? .number(JSONNumber(validated: String(value))))
    }
}

private struct WireKeyedEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoder: WireEncoder
    let convertsKeys: Bool

    var codingPath: [any CodingKey] { encoder.codingPath }

    private func name(_ key: any CodingKey) -> String { convertsKeys ? WireJSON.wireName(key.stringValue) : key.stringValue }

    private func member(_ key: any CodingKey) -> WireEncoder {
        let name = name(key)
        let place = WireEncoder(type: JSONValue.self, parent: encoder, key: WireKey(stringValue: name))
        encoder.add(name, .place(place))
        return place
    }

    mutating func encodeNil(forKey key: Key) { encoder.add(name(key), .value(.null)) }
    mutating func encode(_ value: Bool, forKey key: Key) { encoder.add(name(key), .value(.bool(value))) }
    mutating func encode(_ value: String, forKey key: Key) { encoder.add(name(key), .value(.string(value))) }
    mutating func encode(_ value: Int, forKey key: Key) { encoder.add(name(key), .value(.integer(Int64(value)))) }
    mutating func encode(_ value: Int64, forKey key: Key) { encoder.add(name(key), .value(.integer(value))) }
    mutating func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        let name = name(key)
        encoder.add(name, try WireEncoder.piece(of: value, in: encoder, at: WireKey(stringValue: name)))
    }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
        member(key).container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { member(key).unkeyedContainer() }
    mutating func superEncoder() -> any Encoder { member(WireKey.superKey) }
    mutating func superEncoder(forKey key: Key) -> any Encoder { member(key) }
}

private struct WireUnkeyedEncoding: UnkeyedEncodingContainer {
    let encoder: WireEncoder

    var codingPath: [any CodingKey] { encoder.codingPath }
    var count: Int { encoder.elementCount }

    private func element() -> WireEncoder {
        let place = WireEncoder(type: JSONValue.self, parent: encoder, key: WireKey(intValue: count))
        encoder.add(.place(place))
        return place
    }

    mutating func encodeNil() { encoder.add(.value(.null)) }
    mutating func encode<Value: Encodable>(_ value: Value) throws {
        encoder.add(try WireEncoder.piece(of: value, in: encoder, at: WireKey(intValue: count)))
    }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        element().container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { element().unkeyedContainer() }
    mutating func superEncoder() -> any Encoder { element() }
}
