import Contracts

/// Who may ask for which priority. What is asked for beyond it is lowered, not refused: the job runs, in its place.
enum PriorityCap {
    /// The priority that a job gets.
    ///
    /// - Parameters:
    ///   - roles: of who asked, as the service says that asks in his name; nil when nobody did and the service itself wants it.
    ///   - plan: what the account's plan allows at best, if it says so.
    static func priority(asked: Priority, account: AccountID, roles: [String]?, plan: Priority?) -> Priority {
        if account == .platform { return asked }
        // Urgent is the platform's own, whatever a plan says.
        return min(asked, min(plan ?? cap(of: roles), .high))
    }

    private static func cap(of roles: [String]?) -> Priority {
        guard let roles else { return .high }
        return roles.contains("provider") || roles.contains("admin") ? .high : .normal
    }
}
