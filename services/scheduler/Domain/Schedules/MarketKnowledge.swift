import Contracts
import Schedules

/// What the scheduler keeps of a market's sessions.
enum MarketKnowledge {
    /// So far back sessions are asked for and kept: further than an audit counts due times.
    static let reach = Duration.seconds(35 * 86_400)
    /// So far ahead they are asked for: with marketdata away, schedules go on for as long.
    static let horizon = Duration.seconds(14 * 86_400)
    /// What begins within this may have been looked at already by a replica whose clock is ahead.
    static let settled = Duration.seconds(60)

    /// What is known once marketdata has answered. Sessions that have begun stay as they were known then, because due times were made of them; what
    /// is ahead may still become a holiday, or a half day.
    static func merged(_ known: MarketSessions, with answer: MarketSessions, now: Timestamp) -> MarketSessions {
        if answer.knownThrough <= known.knownThrough { return known }
        let fixed = min(known.knownThrough, now + settled)
        let kept = known.sessions.filter { $0.lowerBound <= fixed && $0.upperBound > now - reach }
        let new = answer.sessions.filter { $0.lowerBound > fixed && $0.upperBound > now - reach }
        return MarketSessions(kept + new, knownThrough: answer.knownThrough)
    }

    /// Whether what was armed by `known` may be due at other times by `sessions`: only what is added behind all that was known changes nothing of that.
    static func moves(_ known: MarketSessions, to sessions: MarketSessions, now: Timestamp) -> Bool {
        func ahead(_ all: MarketSessions) -> [Range<Timestamp>] {
            all.sessions.filter { $0.upperBound > now - settled && $0.lowerBound <= known.knownThrough }
        }
        return ahead(known) != ahead(sessions)
    }
}
