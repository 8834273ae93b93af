import Contracts

/// A bar as far as settlement looks at it.
struct OutcomeBar: Sendable, Hashable {
    var start: Timestamp
    var end: Timestamp
    var open: DecimalText
    var close: DecimalText
}

/// What really happened in a prediction's window.
struct RealisedOutcome: Sendable, Hashable {
    enum State: String, Sendable, Hashable, CaseIterable {
        case settled
        /// The window passed without bars to measure it by: counted and shown, never quietly dropped.
        case unresolved
    }

    var state: State
    var opensAt: Timestamp?
    var openPrice: DecimalText?
    var closesAt: Timestamp?
    var closePrice: DecimalText?
    /// close / open − 1, to 12 decimals.
    var realisedReturn: DecimalText?
    /// For directions and probabilities that took a side; nil when none was taken or the kind is measured by distance.
    var correct: Bool?
    var reason: String?

    static func unresolved(_ reason: String) -> RealisedOutcome {
        RealisedOutcome(state: .unresolved, reason: reason)
    }
}

/// Measures outcomes: from the first bar that opens after the prediction was made, through the end of its window.
enum Settlement {
    /// - Parameters:
    ///   - value: what was predicted.
    ///   - opensAfter: bars count that start later than this (the bars' own time).
    ///   - closesBy: bars count that end no later than this.
    ///   - bars: in order of time.
    static func outcome(value: PredictionValue, kind: OutputKind, opensAfter: Timestamp, closesBy: Timestamp, bars: [OutcomeBar]) -> RealisedOutcome {
        guard let first = bars.first(where: { $0.start > opensAfter && $0.end <= closesBy }) else {
            return .unresolved("no bar opens after the prediction and ends inside its window")
        }
        guard let last = bars.last(where: { $0.end <= closesBy && $0.start >= first.start }) else {
            return .unresolved("no bar ends inside the window")
        }
        guard first.open.double > 0, let change = relativeChange(from: first.open, to: last.close) else {
            return .unresolved("a return from a price of zero or less has no meaning")
        }
        return RealisedOutcome(
            state: .settled,
            opensAt: first.start,
            openPrice: first.open,
            closesAt: last.end,
            closePrice: last.close,
            realisedReturn: change,
            correct: isCorrect(value: value, kind: kind, change: change)
        )
    }

    /// A move of zero is nobody's success: ambiguity goes against the provider.
    private static func isCorrect(value: PredictionValue, kind: OutputKind, change: DecimalText) -> Bool? {
        guard case .single(let number) = value else { return nil }
        let side: DecimalText
        switch kind {
        case .direction: side = .zero
        case .probability: side = DecimalText(units: 5, scale: 1)
        case .price, .return, .quantiles: return nil
        }
        if number == side { return nil }
        return number > side ? change > .zero : change < .zero
    }

    /// close / open − 1 rounded to 12 decimals, half away from zero.
    static func relativeChange(from open: DecimalText, to close: DecimalText) -> DecimalText? {
        // Both as whole multiples of the finer one's last digit; the division is then exact to the digit asked for.
        let scale = max(open.decimals, close.decimals)
        guard let from = open.units(scale: scale), let to = close.units(scale: scale), from != 0 else { return nil }
        let numerator = Int128(to) - Int128(from)
        let scaled = numerator.multipliedReportingOverflow(by: 1_000_000_000_000)
        guard !scaled.overflow else { return nil }
        let (quotient, remainder) = scaled.partialValue.quotientAndRemainder(dividingBy: Int128(from))
        var rounded = quotient
        if remainder.magnitude * 2 >= Int128(from).magnitude { rounded += (remainder < 0) == (from < 0) ? 1 : -1 }
        guard let units = Int64(exactly: rounded) else { return nil }
        return DecimalText(units: units, scale: 12)
    }
}

extension Settlement {
    /// When to look for an outcome first, and when to give up.
    ///
    /// A live window is looked at when its end has passed and a moment for its last bar to come in; if that takes longer, up to four days are waited. How
    /// fast a replay's bars come nobody knows, so it is looked at often.
    static func waiting(for statement: PredictionStatement, madeAt: Timestamp) -> (checkAt: Timestamp, giveUpAt: Timestamp) {
        switch statement.feed {
        case .live: (statement.row.targetTo + .seconds(2), max(statement.row.targetTo, madeAt) + .seconds(4 * 86_400))
        case .replay, .backfill: (madeAt + .seconds(1), madeAt + .seconds(2 * 86_400))
        }
    }

    /// When to look again. A live window's bars are there a moment after it or come with an import hours later: the pauses grow to an eighth of the time
    /// since its end, from one second to 34 minutes. A replay's grow to a tenth of the time since the prediction, from one second to four minutes.
    ///
    /// They end at multiples of their length, so that one look serves all of a signal's that wait so long.
    static func again(for statement: PredictionStatement, madeAt: Timestamp, now: Timestamp) -> Timestamp {
        switch statement.feed {
        case .live: pauseEnd(now, since: statement.row.targetTo, share: 8, maximumSeconds: 2_048)
        case .replay, .backfill: pauseEnd(now, since: madeAt, share: 10, maximumSeconds: 256)
        }
    }

    /// The end of a pause of the most seconds that are a power of two and no more than this share of the time since a moment.
    private static func pauseEnd(_ now: Timestamp, since moment: Timestamp, share: Int64, maximumSeconds: Int64) -> Timestamp {
        let waitedSeconds = max(0, (now - moment).components.seconds)
        var pauseSeconds: Int64 = 1
        while pauseSeconds < maximumSeconds, pauseSeconds * 2 * share <= waitedSeconds { pauseSeconds *= 2 }
        return Timestamp(seconds: (now.seconds / pauseSeconds + 1) * pauseSeconds)
    }
}
