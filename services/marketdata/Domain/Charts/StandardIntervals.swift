import Bars

/// The intervals that people switch between on a chart.
enum StandardIntervals {
    /// From the shortest to the longest.
    static let all: [BarInterval] = [5, 10, 15, 30, 60, 300, 900, 1_800, 3_600, 14_400, 86_400].map { BarInterval(seconds: $0) }
}
