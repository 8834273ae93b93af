import Contracts
import Foundation
import Testing

@testable import executor

/// One verdict on one table: `sdk/golden/rows.json` is read by the Python SDK's tests too, and by those of signals.
@Suite struct GoldenRowTests {
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
            let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../sdk/golden/rows.json").standardizedFileURL
            return (try? Data(contentsOf: path)).flatMap { try? WireJSON.decode(Golden.self, from: [UInt8]($0)) }
        }()
    }

    @Test func theTableIsThere() { #expect((Golden.shared?.cases.count ?? 0) > 60) }

    @Test(arguments: Golden.shared?.cases ?? [])
    func rows(_ one: Golden.Case) throws {
        let asOf = try #require(Golden.shared).asOf
        let rows: [JSONValue] = one.predictions.enumerated().map { number, prediction in
            .object([
                "row": .integer(Int64(number)), "instrument": prediction["instrument"] ?? .string(one.output.instrument),
                "kind": prediction["kind"] ?? .string(one.output.kind.rawValue), "value": prediction["value"] ?? .null,
                "target_from": prediction["target_from"] ?? .string(asOf.iso8601),
                "target_to": prediction["target_to"] ?? .string((asOf + .seconds(one.output.horizonSeconds)).iso8601),
            ])
        }
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
