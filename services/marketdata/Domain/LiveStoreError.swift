import Contracts

/// Why a step of a feed is not recorded.
enum LiveStoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Something of it ends long after the database's clock.
    case aheadOfClock(Timestamp)

    var description: String {
        switch self {
        case .aheadOfClock(let end): "A bar that ends at \(end.iso8601) cannot be known yet by the database's clock."
        }
    }
}
