import Contracts

/// Whether a prediction came too late to count; late ones are stored and never scored.
enum LatenessRule {
    /// Recorded after its deadline, or when the first of the instrument's finest bars in its window was known; when that is unclear, it is late.
    static func isLate(
        madeAt: Timestamp,
        dueAt: Timestamp,
        deadlineSeconds: Int,
        targetFrom: Timestamp,
        asOf: Timestamp,
        feed: FeedKind,
        knowledge: MarketKnowledge
    ) -> Bool {
        if madeAt > dueAt + .seconds(deadlineSeconds) { return true }
        let bar = Duration.seconds(knowledge.baseSeconds)
        // Bars of the present are known when they end, those of the past were known all along.
        guard feed == .replay else { return madeAt >= targetFrom + bar }
        guard let replay = knowledge.replay, madeAt <= replay.lookedAt + ReplayKnowledge.lifetime else { return true }
        let opensAt = targetFrom + ReplayClock.shift(targetFrom: targetFrom, asOf: asOf, knownAtAsOf: replay.knownAtAsOf)
        return replay.knownThrough >= opensAt + bar
    }

    /// Whether a seal bound the prediction before its outcome could begin to show: an unsealed one might still be changed in silence.
    static func counts(late: Bool, feed: FeedKind, sealedAt: Timestamp?, outcomeOpensAt: Timestamp?) -> Bool {
        guard !late, feed == .live, let sealedAt else { return false }
        guard let outcomeOpensAt else { return true }
        return sealedAt <= outcomeOpensAt
    }
}
