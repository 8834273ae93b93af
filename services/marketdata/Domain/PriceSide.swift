/// Which price a stored series is made of.
enum PriceSide: String, Sendable, CaseIterable, Codable {
    /// Prices at which something changed hands.
    case trade
    /// What buyers offered.
    case bid
    /// What sellers asked.
    case ask
    /// The middle of both, stored only where it was made of ticks and is therefore exact.
    case mid
}

/// Who made a stored bar.
enum SeriesOrigin: String, Sendable, Codable {
    /// The vendor: kept as imported, and preferred.
    case imported
    /// We did, out of ticks.
    case derived
}
