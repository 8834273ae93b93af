/// Notes which members of which objects a decoding asked for, so that a strict reader can name one that nobody did.
public final class FieldReads {
    private struct Opened {
        var members: Set<String>
        var asked: Set<String> = []
    }

    private var objects: [String: Opened] = [:]
    private var order: [String] = []

    /// Nothing read yet; for one decoding.
    public init() {}

    /// The first member that nobody asked for, by its path, and the names that were asked for beside it; nil when all were.
    public func firstUnknown() -> (path: String, known: [String])? {
        for path in order {
            guard let object = objects[path], let name = object.members.subtracting(object.asked).sorted().first else { continue }
            let shown = String(name.prefix(100))
            return (path.isEmpty ? shown : "\(path).\(shown)", object.asked.sorted())
        }
        return nil
    }

    func opened(_ path: String, members: [String: JSONValue]) {
        // A type may open the same object twice (to look at a discriminator first): what either pass asked for is known.
        guard objects[path] == nil else { return }
        objects[path] = Opened(members: Set(members.keys))
        order.append(path)
    }

    func asked(_ path: String, _ name: String) { objects[path]?.asked.insert(name) }

    func askedForAll(_ path: String) {
        if let members = objects[path]?.members { objects[path]?.asked.formUnion(members) }
    }
}
