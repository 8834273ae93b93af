import Contracts
import HTTPServing

/// Which jobs a caller may see, and so may cancel: its account's own doing; an administrator all, in person: a key that leaks must not reach so far.
struct JobView: Sendable {
    /// Nil is all accounts.
    let accountID: AccountID?
    /// Nil is all kinds.
    let kinds: [JobKind]?

    init(of principal: Principal) {
        let isInPerson = if case .session = principal.credential { true } else { false }
        let isAdministrator = isInPerson && principal.has(role: "admin")
        accountID = isAdministrator ? nil : principal.accountID
        kinds = isAdministrator ? nil : JobKind.ofOwners
    }

    func shows(_ job: Job) -> Bool {
        (accountID.map { $0 == job.accountID } ?? true) && (kinds.map { $0.contains(job.kind) } ?? true)
    }
}
