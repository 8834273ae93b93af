/// Header fields by name, without regard to the case of the name.
public struct Headers: Sendable, ExpressibleByDictionaryLiteral, CustomStringConvertible {
    private enum Storage: Sendable {
        case received(HeaderBlock)
        case list([(name: String, value: String)])
    }

    private var storage: Storage

    /// No fields.
    public init() { storage = .list([]) }

    /// Fields written in the source; a name may repeat.
    public init(dictionaryLiteral elements: (String, String)...) {
        storage = .list(elements.map { (name: $0.0, value: $0.1) })
    }

    init(_ block: HeaderBlock) { storage = .received(block) }

    /// The first value of a field; setting replaces all values of that name, or removes them.
    public subscript(name: String) -> String? {
        get {
            switch storage {
            case .received(let block): block.first(named: name).map(block.value)
            case .list(let list): list.first { Self.same($0.name, name) }?.value
            }
        }
        set {
            var list = entries
            list.removeAll { Self.same($0.name, name) }
            if let newValue { list.append((name, newValue)) }
            storage = .list(list)
        }
    }

    /// Adds a value beside those that the name may have.
    public mutating func add(_ name: String, _ value: String) {
        if case .list(var list) = storage {
            storage = .list([])
            list.append((name, value))
            storage = .list(list)
        } else {
            storage = .list(entries + [(name, value)])
        }
    }

    /// Every value of a field, in order.
    public func all(_ name: String) -> [String] {
        entries.filter { Self.same($0.name, name) }.map(\.value)
    }

    /// All fields in order.
    public var entries: [(name: String, value: String)] {
        switch storage {
        case .received(let block): block.fields.map { (block.name($0), block.value($0)) }
        case .list(let list): list
        }
    }

    /// Whether there are none.
    public var isEmpty: Bool {
        switch storage {
        case .received(let block): block.fields.isEmpty
        case .list(let list): list.isEmpty
        }
    }

    /// The names only: values may be secrets.
    public var description: String { "Headers(\(entries.map(\.name).joined(separator: ", ")))" }

    private static func same(_ left: String, _ right: String) -> Bool {
        guard left.utf8.count == right.utf8.count else { return false }
        for (a, b) in zip(left.utf8, right.utf8) where a.lowercasedASCII != b.lowercasedASCII { return false }
        return true
    }
}
