import Contracts

/// Whether a prediction came too late to count; late ones are stored and never scored.
enum LatenessRule {
    /// - Parameters:
    ///   - barSeconds: length of the bars by which the outcome is measured.
    static func isLate(
        madeAt: Timestamp,
        dueAt: Timestamp,
        deadlineSeconds: Int,
        targetFrom: Timestamp,
        barSeconds: Int,
        feed: FeedKind
    ) -> Bool {
        if madeAt > dueAt + .seconds(deadlineSeconds) { return true }
        // Live bars are known when they end. A replay's bars keep old times; its rows are never scored anyway.
        return feed == .live && madeAt >= targetFrom + .seconds(barSeconds)
    }

    /// Whether a seal bound the prediction before its outcome could begin to show: an unsealed one might still be changed in silence.
    static func counts(late: Bool, feed: FeedKind, sealedAt: Timestamp?, outcomeOpensAt: Timestamp?) -> Bool {
        guard !late, feed == .live, let sealedAt else { return false }
        guard let outcomeOpensAt else { return true }
        return sealedAt <= outcomeOpensAt
    }
}
