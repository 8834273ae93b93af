/// Asks, and asks anew where days went between a look at what there is and the reading of it: what is kept for so long only was removed, or a seal took the
/// place of what was looked up. Looked up anew, the answer is made of what is there.
func withNewLooks<Answer>(_ ask: () async throws -> Answer) async throws -> Answer {
    // Several series of a day may be sealed one after the other.
    for _ in 0..<4 {
        do { return try await ask() } catch MarketdataError.daysRemoved {}
    }
    return try await ask()
}
