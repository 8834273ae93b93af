import Contracts
import Foundation
import Testing

@testable import signals

@Suite("Rows against the golden table")
struct GoldenRowTests {
    struct Golden: Decodable, Sendable {
        struct Fault: Decodable, Sendable { var row: Int, reason: String }
        struct Case: Decodable, Sendable, CustomTestStringConvertible {
            var name: String
            var output: ManifestOutput
            var predictions: [JSONValue]
            var fault: Fault?
            var testDescription: String { name }
        }
        var asOf: Timestamp
        var cases: [Case]

        static let shared: Golden? = {
            let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../sdk/golden/rows.json").standardizedFileURL
            return (try? Data(contentsOf: path)).flatMap { try? WireJSON.decode(Golden.self, from: [UInt8]($0)) }
        }()
    }

    @Test("The ledger gives the verdict that the executor and the author's machine give", arguments: Golden.shared?.cases ?? [])
    func rows(_ one: Golden.Case) throws {
        let asOf = try #require(Golden.shared).asOf
        var rows: [PredictionRow] = []
        for (number, prediction) in one.predictions.enumerated() {
            let fields: JSONValue = .object([
                "row": .integer(Int64(number)), "instrument": prediction["instrument"] ?? .string(one.output.instrument),
                "kind": prediction["kind"] ?? .string(one.output.kind.rawValue), "value": prediction["value"] ?? .null,
                "target_from": prediction["target_from"] ?? .string(asOf.iso8601),
                "target_to": prediction["target_to"] ?? .string((asOf + .seconds(one.output.horizonSeconds)).iso8601),
            ])
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
