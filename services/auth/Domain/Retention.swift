/// How long rows outlive their use, in seconds.
enum Retention {
    /// A session that has ended stays in sight of its owner's questions for a week.
    static let endedSessionSeconds: Int64 = 7 * 86_400
    /// Longer than any throttling window with its longest wait.
    static let throttleSeconds: Int64 = 86_400
    /// Who comes back within a quarter of a year is no stranger.
    static let loginPlaceSeconds: Int64 = 90 * 86_400
    /// Far longer than a service keeps a block of credits.
    static let creditBlockSeconds: Int64 = 7 * 86_400
}
