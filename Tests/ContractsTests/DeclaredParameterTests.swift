import Contracts
import Foundation
import Testing

/// One verdict on one table: `sdk/golden/parameters.json` is read by the Python SDK's tests too.
@Suite struct DeclaredParameterTests {
    struct Golden: Decodable, Sendable {
        struct Case: Decodable, Sendable, CustomTestStringConvertible {
            var name: String
            var parameters: JSONValue
            var faults: [[String]]?
            var given: [String: JSONValue]?
            var values: JSONValue?
            var fault: [String]?
            var testDescription: String { name }
        }
        var cases: [Case]

        static let shared: Golden? = {
            let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../sdk/golden/parameters.json").standardizedFileURL
            return (try? Data(contentsOf: path)).flatMap { try? WireJSON.decode(Golden.self, from: [UInt8]($0)) }
        }()
    }

    @Test func theTableIsThere() { #expect((Golden.shared?.cases.count ?? 0) > 20) }

    @Test(arguments: Golden.shared?.cases ?? [])
    func parameters(_ one: Golden.Case) throws {
        if let faults = one.faults {
            #expect(DeclaredParameters.faults(in: one.parameters).map { [$0.field, $0.reason] } == faults)
            return
        }
        do throws(DeclaredParameters.Fault) {
            let values = try DeclaredParameters.values(of: one.parameters, given: one.given ?? [:])
            #expect(one.fault == nil && values == one.values, "\(values)")
        } catch {
            #expect([error.field, error.reason] == one.fault)
        }
    }
}
