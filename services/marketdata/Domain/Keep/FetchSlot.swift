import Bars
import Contracts

/// A piece of a rule's time that is fetched at once. Pieces lie on the calendar, so that all who want the same bars name the same piece: a UTC day of ticks
/// and seconds, a month of minutes, a year of hours, twenty years of days and longer.
struct FetchSlot: Sendable, Hashable, CustomStringConvertible {
    let rule: KeepRuleID
    /// A rule that spells its instrument otherwise asks another question.
    let sourceSymbol: String
    let first: CivilDay
    let next: CivilDay

    var description: String { "\(rule) \(first.text) \(sourceSymbol)" }

    var range: Range<Timestamp> { Timestamp(seconds: first.seconds)..<Timestamp(seconds: next.seconds) }

    /// The piece in which a moment lies.
    init(of rule: KeepRule, at moment: Timestamp) {
        self.rule = rule.id
        sourceSymbol = rule.sourceSymbol
        let day = CivilDay(utcMicroseconds: moment.microseconds)
        let year = day.components.year
        switch rule.kind.intervalSeconds {
        case ..<60: (first, next) = (day, day + 1)
        case ..<3_600: (first, next) = (day.firstOfMonth, day.firstOfNextMonth)
        case ..<86_400: (first, next) = (CivilDay(year: year, month: 1, day: 1), CivilDay(year: year + 1, month: 1, day: 1))
        default:
            let begin = year - floorModulo(year, 20)
            (first, next) = (CivilDay(year: begin, month: 1, day: 1), CivilDay(year: begin + 20, month: 1, day: 1))
        }
    }

    /// The pieces that some stretches (in order) touch, newest first, `maximum` at most.
    static func covering(_ stretches: [Range<Timestamp>], of rule: KeepRule, maximum: Int) -> [FetchSlot] {
        var slots: [FetchSlot] = []
        for stretch in stretches.reversed() {
            var upper = stretch.upperBound
            while upper > stretch.lowerBound, slots.count < maximum {
                let slot = FetchSlot(of: rule, at: upper - .microseconds(1))
                if slots.last != slot { slots.append(slot) }
                upper = slot.range.lowerBound
            }
        }
        return slots
    }
}
