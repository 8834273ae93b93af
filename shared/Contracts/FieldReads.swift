/// Notes which members of which objects a decoding asked for, so that a strict reader can name one that nobody did.
public final class FieldReads {
    /// One object, each time that it is opened.
    final class Opened {
        fileprivate let place: WireDecoder
        fileprivate let members: [String: JSONValue]
        fileprivate var asked: [String] = []

        fileprivate init(place: WireDecoder, members: [String: JSONValue]) {
            self.place = place
            self.members = members
        }

        func asked(_ name: String) { asked.append(name) }
        func askedForAll() { asked += members.keys }

        fileprivate var isWhollyKnown: Bool { members.keys.allSatisfy { asked.contains($0) } }
    }

    private var objects: [Opened] = []

    /// Nothing read yet; for one decoding.
    public init() {}

    /// The first member that nobody asked for, by its path, and the names that were asked for beside it; nil when all were.
    public func firstUnknown() -> (path: String, known: [String])? {
        // Texts of paths are dear, and hardly anybody sends what there is not.
        if objects.allSatisfy(\.isWhollyKnown) { return nil }
        // A type may open the same object twice (to look at a discriminator first): what either pass asked for is known.
        var asked: [String: Set<String>] = [:]
        let places = objects.map { WireJSON.text(ofPath: $0.place.codingPath) }
        for (place, object) in zip(places, objects) { asked[place, default: []].formUnion(object.asked) }
        for (place, object) in zip(places, objects) {
            let known = asked[place] ?? []
            guard let name = object.members.keys.filter({ !known.contains($0) }).min() else { continue }
            let shown = String(name.prefix(100))
            return (place.isEmpty ? shown : "\(place).\(shown)", known.sorted())
        }
        return nil
    }

    func opened(_ place: WireDecoder, members: [String: JSONValue]) -> Opened {
        let object = Opened(place: place, members: members)
        objects.append(object)
        return object
    }
}
