/// Names a value that one middleware leaves with a request for those behind it.
public protocol RequestStorageKey {
    /// The value's type.
    associatedtype Value: Sendable
}

/// Values that travel with one request, by the type of their key.
public struct RequestStorage: Sendable {
    private var values: [(key: ObjectIdentifier, value: any Sendable)] = []

    /// Empty.
    public init() {}

    /// The value under a key.
    public subscript<Key: RequestStorageKey>(_ key: Key.Type) -> Key.Value? {
        get {
            let wanted = ObjectIdentifier(key)
            for entry in values where entry.key == wanted { return entry.value as? Key.Value }
            return nil
        }
        set {
            let wanted = ObjectIdentifier(key)
            values.removeAll { $0.key == wanted }
            if let newValue { values.append((wanted, newValue)) }
        }
    }
}
