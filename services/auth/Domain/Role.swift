/// What an account may do; an account may hold several.
enum Role: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
    /// Publishes signals.
    case provider
    /// Reads predictions.
    case subscriber
    /// Runs the platform; made on the command line only.
    case admin

    /// The roles that a person may take without anybody's leave.
    static let selfChosen: Set<Role> = [.provider, .subscriber]

    /// In the order of the cases, so that a set of roles has one spelling.
    static func < (left: Role, right: Role) -> Bool { left.place < right.place }

    private var place: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

extension Collection where Element == Role {
    /// Each role once, in the order of the cases, as events, tokens and tables carry them.
    var names: [String] { Set(self).sorted().map(\.rawValue) }
}
