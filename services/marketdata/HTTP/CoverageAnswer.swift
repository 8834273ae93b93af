import Bars
import Contracts
import FoundationEssentials

/// What of a series is there, as a page draws it.
struct CoverageAnswer: Encodable, Sendable {
    let instrument: String
    let interval: String
    let intervalSeconds: Int
    let price: String
    let session: String
    let calendar: String
    let timeZone: String
    let slotSeconds: Int
    let slotsPerDay: Int
    let firstStoredDay: String
    let lastStoredDay: String
    let missing: Int
    let days: [Day]

    /// One UTC day.
    struct Day: Encodable, Sendable {
        let day: String
        let rows: Int
        let start: Timestamp?
        let end: Timestamp?
        /// Base64; slot i is bit i % 8, counted from the lowest, of byte i / 8. Absent on a day without rows.
        let bitmap: String?
        /// Stretches of slots, each from the first to the one after the last.
        let expected: [[Int]]
        let missing: Int
    }

    init(_ coverage: Coverage) {
        instrument = coverage.instrument.symbol
        interval = coverage.interval.text
        intervalSeconds = coverage.interval.seconds
        price = coverage.price.rawValue
        session = coverage.session.rawValue
        calendar = coverage.instrument.calendar
        timeZone = coverage.instrument.timeZone
        slotSeconds = coverage.slots.seconds
        slotsPerDay = coverage.slots.count
        firstStoredDay = coverage.stored.lowerBound.text
        lastStoredDay = coverage.stored.upperBound.text
        missing = coverage.days.reduce(0) { $0 + $1.missing }
        days = coverage.days.map { day in
            Day(
                day: day.day.text,
                rows: day.rows,
                start: day.firstStart.map { Timestamp(microseconds: $0) },
                end: day.lastEnd.map { Timestamp(microseconds: $0) },
                bitmap: day.rows == 0 ? nil : Data(day.bits).base64EncodedString(),
                expected: day.expected.map { [$0.lowerBound, $0.upperBound] },
                missing: day.missing
            )
        }
    }
}
