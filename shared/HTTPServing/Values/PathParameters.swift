/// What stood in the places of a route's `{names}`, decoded.
public struct PathParameters: Sendable {
    private(set) var entries: [(name: String, value: String)] = []

    /// No parameters.
    public init() {}

    /// The text in the place of `{name}`.
    public subscript(name: String) -> String? {
        for entry in entries where entry.name == name { return entry.value }
        return nil
    }

    mutating func append(_ name: String, _ value: String) { entries.append((name, value)) }
}
