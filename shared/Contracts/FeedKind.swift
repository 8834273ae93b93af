/// Where the bars behind a prediction come from; only `live` can be ranked, priced or sold.
public enum FeedKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// The market as it happens.
    case live
    /// Recorded bars released anew under an instrument of their own.
    case replay
    /// Computed afterwards on history.
    case backfill
}
