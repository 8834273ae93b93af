import Bars
import Contracts

/// A split, a dividend or the like, as one revision of it was recorded.
struct CorporateAction: Sendable, Equatable {
    /// The last day before it, by the exchange's calendar.
    var day: CivilDay
    /// What it makes of the prices up to that day; `none` in a revision that takes the action back.
    var ratio: AdjustmentRatio
    /// The closing price of the day, where the file has it.
    var referencePrice: DecimalText?
    /// 1, and one more for each correction.
    var revision: Int
    /// When a correction was stored; nothing for what was history already.
    var recordedAt: Timestamp?

    /// The opening of the next session (the early one, where there is one): from then on shares trade at the new price.
    func inForceFrom(_ clock: TradingClock) -> Int64 {
        for distance in 1...14 {
            if let session = clock.session(on: day + distance, kind: .extended) { return session.lowerBound }
        }
        return clock.beginning(of: day + 1)
    }
}

extension AdjustmentRatio {
    /// The same without what was paid out.
    var splitOnly: AdjustmentRatio { AdjustmentRatio(splitNumerator: splitNumerator, splitDenominator: splitDenominator) }

    /// The factor for what was paid out, as a decimal.
    var priceFactor: DecimalText { DecimalText(units: priceTrillionths, scale: 12) }
}

/// What a file says about an instrument's actions, and what becomes of those that are stored.
enum ActionMerge {
    /// One action to be stored.
    struct Draft: Sendable, Equatable {
        var day: CivilDay
        var ratio: AdjustmentRatio
        var referencePrice: DecimalText?
        var revision: Int
        /// Whether it corrects what earlier files said: then it is known from its recording only.
        var isCorrection: Bool
    }

    struct Result: Sendable, Equatable {
        var drafts: [Draft]
        var unchanged: Int
    }

    /// Actions beyond the last one that is stored were nobody's statement yet: they are history. All else that differs is a correction.
    static func merge(stored: [CorporateAction], file: LeanActionFile) -> Result {
        var latest: [CivilDay: CorporateAction] = [:]
        for action in stored where action.revision > latest[action.day]?.revision ?? 0 { latest[action.day] = action }
        let lastDay = latest.keys.max()
        var result = Result(drafts: [], unchanged: 0)
        for action in file.actions {
            if let known = latest.removeValue(forKey: action.day) {
                if known.ratio.isLike(action.ratio) {
                    result.unchanged += 1
                } else {
                    result.drafts.append(Draft(action, revision: known.revision + 1, isCorrection: true))
                }
            } else {
                result.drafts.append(Draft(action, revision: 1, isCorrection: lastDay.map { action.day <= $0 } ?? false))
            }
        }
        // What a file that reaches so far back no longer has was never an action.
        for known in latest.values where known.day >= file.firstDay && known.ratio != .none {
            let gone = LeanActionFile.Action(day: known.day, ratio: .none, referencePrice: known.referencePrice)
            result.drafts.append(Draft(gone, revision: known.revision + 1, isCorrection: true))
        }
        result.drafts.sort { $0.day < $1.day }
        return result
    }
}

extension ActionMerge.Draft {
    fileprivate init(_ action: LeanActionFile.Action, revision: Int, isCorrection: Bool) {
        self.init(
            day: action.day,
            ratio: action.ratio,
            referencePrice: action.referencePrice,
            revision: revision,
            isCorrection: isCorrection
        )
    }
}
