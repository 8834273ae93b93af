import Contracts
import HTTPServing

/// `limit` and `cursor` of a list that is ordered by id, newest first.
struct PageRequest<Subject>: Sendable {
    let limit: Int
    let after: ID<Subject>?

    init(_ request: Request) throws {
        try request.query.reject(unknownExcept: ["limit", "cursor"])
        limit = try request.query.integer("limit", range: 1...200, default: 50)
        guard let cursor = try request.query.cursor(parts: 1) else {
            after = nil
            return
        }
        guard let id = ID<Subject>(cursor.parts[0]) else {
            throw Problem.badRequest(code: "invalid_cursor", detail: "This is not a cursor of this list.", field: "cursor")
        }
        after = id
    }

    /// A page of items of which one more than `limit` was asked for: that one only tells that there is a next page.
    func response<Item: Encodable & Sendable>(_ items: [Item], id: (Item) -> ID<Subject>) throws -> Response {
        try .json(CursorPage(found: items, limit: limit) { Cursor([id($0).description]) })
    }
}
