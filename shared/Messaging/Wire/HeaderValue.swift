/// A value in a message's headers; only what we and the broker write is told apart.
enum HeaderValue: Sendable, Hashable {
    case text(String)
    case integer(Int64)
    case boolean(Bool)
    case list([HeaderValue])
    case table([String: HeaderValue])
    case other

    var text: String? {
        if case .text(let text) = self { text } else { nil }
    }

    var integer: Int64? {
        if case .integer(let number) = self { number } else { nil }
    }
}
