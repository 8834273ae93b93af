import Bars
import Contracts

/// What is odd about an instrument's stored bars, as a person or a program reads it. Nothing is ever changed for it.
struct QualityReport: Encodable, Sendable {
    /// How many places of one kind are named; all are counted.
    static let placesAtMost = 50
    /// Days that one report may span at most.
    static let maximumDays = 3_700
    /// Stored bars that one report may read at most.
    static let maximumRows = 6_000_000

    let instrument: String
    let instrumentID: InstrumentID
    let start: Timestamp
    let end: Timestamp
    var series: [SeriesReport] = []
    /// Bars whose bid is above the ask, by interval.
    var negativeSpreads: [SpreadReport] = []
    /// Duplicates, rows out of order and refused rows, as imports saw them.
    var imports: [ImportReport] = []

    struct SeriesReport: Encodable, Sendable {
        let interval: String
        let price: String
        let origin: String
        let days: Int
        let rows: Int
        var outliers: Findings
        var holes: Findings
        var notPositive: Findings
        var highBelowLow: Findings
    }

    struct SpreadReport: Encodable, Sendable {
        let interval: String
        let origin: String
        var found: Findings
    }

    struct ImportReport: Encodable, Sendable {
        let day: String
        let kind: String
        let rows: Int
        let firstLine: Int
        let file: String
        let recordedAt: Timestamp
    }

    /// Places of one kind: how many, and the first of them.
    struct Findings: Encodable, Sendable, Equatable {
        private(set) var count = 0
        private(set) var places: [Place] = []

        mutating func add(_ place: Place) {
            count += 1
            if places.count < QualityReport.placesAtMost { places.append(place) }
        }

        /// Lengthens the last place, where it is named.
        mutating func extendLast(to end: Int64, _ what: String) {
            guard count == places.count, let last = places.indices.last else { return }
            places[last].end = Timestamp(microseconds: end)
            places[last].what = what
        }
    }

    struct Place: Encodable, Sendable, Equatable {
        var start: Timestamp
        var end: Timestamp
        /// What is odd, in plain words with the figures.
        var what: String

        init(_ start: Int64, _ end: Int64, _ what: String) {
            self.start = Timestamp(microseconds: start)
            self.end = Timestamp(microseconds: end)
            self.what = what
        }
    }

    /// Whether nothing is odd.
    var isClean: Bool {
        negativeSpreads.allSatisfy { $0.found.count == 0 } && imports.isEmpty
            && series.allSatisfy { $0.outliers.count + $0.holes.count + $0.notPositive.count + $0.highBelowLow.count == 0 }
    }
}
