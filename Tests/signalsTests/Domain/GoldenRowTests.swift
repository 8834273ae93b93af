import Contracts
import Foundation
import TestSupport
import Testing

@testable import signals

@Suite("Rows against the golden table")
struct GoldenRowTests {
    @Test("The ledger gives the verdict that the executor and the author's machine give", arguments: GoldenRows.shared?.cases ?? [])
    func rows(_ one: GoldenRows.Case) throws {
        let asOf = try #require(GoldenRows.shared).asOf
        var rows: [PredictionRow] = []
        for (number, fields) in one.rows(asOf: asOf).enumerated() {
            // What is no decimal text does not even become a row: the result is refused as a whole.
            guard let row: PredictionRow = try? WireJSON.decode(from: fields) else {
                #expect(one.fault?.row == number)
                return
            }
            rows.append(row)
        }
        let manifest = Manifest(name: "x", schedule: .interval(seconds: 60), inputs: [], output: one.output)
        let fault = RowRules.firstFault(rows: rows, manifest: manifest, asOf: asOf, feed: .live)
        #expect(fault?.row == one.fault?.row, "\(fault?.reason ?? "was taken")")
        if let wanted = one.fault { #expect(fault?.reason.contains(wanted.reason) == true, "\(fault?.reason ?? "was taken")") }
    }
}
