import Foundation

/// Tests at full size, of a million rows: they run for minutes, and only when asked for.
enum LongTests {
    static let areWanted = ProcessInfo.processInfo.environment["AUSPEX_TEST_LONG"] != nil

    /// Jobs in the table of the tests of plans.
    static let rows = areWanted ? 1_000_000 : 20_000
    /// Rounds of ten thousand jobs each: a million.
    static let rounds = 100
}
