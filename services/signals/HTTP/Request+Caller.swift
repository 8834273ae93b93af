import Contracts
import HTTPServing

extension Principal {
    /// The caller as the rules see it.
    var caller: Caller {
        let scopes: Set<String>? =
            if case .apiKey(_, let scopes) = credential { Set(scopes) } else { nil }
        return Caller(accountID: accountID, roles: Set(roles), scopes: scopes)
    }
}

extension Request {
    /// Who asks; nil for a caller without a credential.
    var caller: Caller? { principal?.caller }

    /// Who asks, on routes for known callers only.
    func requiredCaller() throws -> Caller { try authenticated().caller }
}
