/// The request methods that the services speak; anything else is answered 501.
public enum Method: String, Sendable, CaseIterable {
    /// Reads.
    case get = "GET"
    /// Reads, and leaves the body out.
    case head = "HEAD"
    /// Makes or does something.
    case post = "POST"
    /// Replaces.
    case put = "PUT"
    /// Changes a part.
    case patch = "PATCH"
    /// Removes.
    case delete = "DELETE"
    /// Asks which methods a path knows.
    case options = "OPTIONS"

    /// Whether the method only reads: such a request may be repeated by a client and cancelled when its client goes away.
    public var isSafe: Bool {
        switch self {
        case .get, .head, .options: true
        case .post, .put, .patch, .delete: false
        }
    }

    init?(bytes: UnsafeRawBufferPointer) {
        switch bytes.count {
        case 3:
            if bytes.matches("GET") { self = .get } else if bytes.matches("PUT") { self = .put } else { return nil }
        case 4:
            if bytes.matches("POST") { self = .post } else if bytes.matches("HEAD") { self = .head } else { return nil }
        case 5:
            if bytes.matches("PATCH") { self = .patch } else { return nil }
        case 6:
            if bytes.matches("DELETE") { self = .delete } else { return nil }
        case 7:
            if bytes.matches("OPTIONS") { self = .options } else { return nil }
        default: return nil
        }
    }
}
