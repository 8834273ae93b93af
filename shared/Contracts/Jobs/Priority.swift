/// Who goes first among claimable jobs of a class; within one priority accounts share fairly.
public enum Priority: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
    /// When nothing else waits.
    case low
    /// The usual.
    case normal
    /// Before the usual.
    case high
    /// The platform's own; waiting never raises a job to it.
    case urgent

    /// 0 for low to 3 for urgent.
    public var rank: Int {
        switch self {
        case .low: 0
        case .normal: 1
        case .high: 2
        case .urgent: 3
        }
    }

    /// Orders by rank.
    public static func < (left: Priority, right: Priority) -> Bool { left.rank < right.rank }
}
