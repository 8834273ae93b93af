internal import Contracts
internal import Cryptography

/// The place in a list where a page ended, opaque to clients: a few texts such as a time and an id.
public struct Cursor: Sendable, Hashable, LosslessStringConvertible {
    /// What the place is made of, in the order of the list's sort keys.
    public let parts: [String]

    /// A place.
    public init(_ parts: [String]) { self.parts = parts }

    /// Reads what a client brought back; nil when it is none of ours.
    public init?(_ description: String) {
        guard description.utf8.count <= 1024, let bytes = Base64URL.decode(description),
            let parts = try? WireJSON.decode([String].self, from: bytes)
        else { return nil }
        self.parts = parts
    }

    /// The text that clients get: base64url without padding.
    public var description: String {
        let bytes = (try? WireJSON.encode(parts)) ?? []
        return Base64URL.encode(bytes)
    }
}

/// One page of a list: `{"items": […], "next_cursor": "…" | null}`.
public struct CursorPage<Item: Encodable & Sendable>: Encodable, Sendable {
    /// The items.
    public let items: [Item]
    /// Where the next page begins; nil at the end of the list.
    public let nextCursor: String?

    /// A page of known items.
    public init(items: [Item], next: Cursor?) {
        self.items = items
        nextCursor = next?.description
    }

    /// A page out of `limit + 1` found items: the one too many only says that there is more.
    public init(found: [Item], limit: Int, cursor: (Item) -> Cursor) {
        let page = Array(found.prefix(limit))
        self.init(items: page, next: found.count > limit ? page.last.map(cursor) : nil)
    }

    private enum CodingKeys: String, CodingKey {
        case items
        case nextCursor = "next_cursor"
    }

    /// Writes `next_cursor` even when there is none, so that clients need not guess.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(items, forKey: .items)
        try container.encode(nextCursor, forKey: .nextCursor)
    }
}

extension Query {
    /// The cursor of a list route; nil for the first page.
    ///
    /// - Parameter parts: how many parts this list's cursors have.
    public func cursor(_ name: String = "cursor", parts: Int) throws -> Cursor? {
        guard let text = string(name) else { return nil }
        guard let cursor = Cursor(text), cursor.parts.count == parts else {
            throw Problem.badRequest(
                code: "invalid_cursor",
                detail: "This is not a cursor of this list: take next_cursor of the page before.",
                field: name
            )
        }
        return cursor
    }
}
