import Contracts
import HTTPServing

extension Request {
    /// Where the request came from, for the audit log and for throttling.
    var origin: RequestOrigin { RequestOrigin(address: remoteAddress, userAgent: headers["User-Agent"] ?? "", requestID: requestID) }

    /// The caller, behind `SessionAuthentication`.
    func caller() throws -> Caller {
        guard let caller = storage[CallerKey.self] else { throw AuthError.unauthenticated }
        return caller
    }

    /// A cookie's value.
    func cookie(_ name: String) -> String? {
        for field in headers.all("Cookie") {
            for pair in field.split(separator: ";") {
                let parts = pair.split(separator: "=", maxSplits: 1)
                guard parts.count == 2, parts[0].drop(while: { $0 == " " }) == name else { continue }
                return String(parts[1])
            }
        }
        return nil
    }

    /// The same request with a body that holds no secret, for `Idempotency`: a stored hash over a password would be worth guessing at.
    func standingFor(_ parts: String...) -> Request {
        var copy = self
        copy.body = Array(parts.joined(separator: "\n").utf8)
        return copy
    }
}

/// Who calls, as the store knows both at this moment.
struct Caller: Sendable {
    let session: Session
    let user: User
}

/// Where `SessionAuthentication` leaves the caller.
enum CallerKey: RequestStorageKey {
    typealias Value = Caller
}
