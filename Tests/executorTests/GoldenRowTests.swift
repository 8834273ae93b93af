import Contracts
import Foundation
import TestSupport
import Testing

@testable import executor

/// One verdict on one table: `sdk/golden/rows.json` is read by the Python SDK's tests too, and by those of signals.
@Suite struct GoldenRowTests {
    @Test func theTableIsThere() { #expect((GoldenRows.shared?.cases.count ?? 0) > 60) }

    @Test(arguments: GoldenRows.shared?.cases ?? [])
    func rows(_ one: GoldenRows.Case) throws {
        let asOf = try #require(GoldenRows.shared).asOf
        let rows = one.rows(asOf: asOf)
        do {
            let taken = try RowCheck(output: one.output, asOf: asOf).rows(rows)
            #expect(one.fault == nil, "was taken")
            #expect(taken.count == rows.count)
        } catch {
            let fault = try #require(one.fault, "\(error)")
            #expect(error.row == fault.row)
            #expect(error.reason.contains(fault.reason), "\(error.reason)")
        }
    }
}
