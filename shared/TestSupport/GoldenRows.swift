public import Contracts
internal import Foundation

/// `sdk/golden/rows.json`: what a row of a run may be. One verdict on one table, by the executor, by the ledger and by the Python SDK.
public struct GoldenRows: Decodable, Sendable {
    /// The first row at fault.
    public struct Fault: Decodable, Sendable {
        /// Its number, from 0.
        public var row: Int
        /// Words of the reason.
        public var reason: String
    }

    /// Predictions of one run, and what is wrong with them.
    public struct Case: Decodable, Sendable {
        /// What it is about.
        public var name: String
        /// The manifest's promise.
        public var output: ManifestOutput
        /// What the code returned.
        public var predictions: [JSONValue]
        /// Nil when all is well.
        public var fault: Fault?

        /// The rows as a runner hands them out, complete with what the code did not say.
        public func rows(asOf: Timestamp) -> [JSONValue] {
            predictions.enumerated().map { number, prediction in
                .object([
                    "row": .integer(Int64(number)), "instrument": prediction["instrument"] ?? .string(output.instrument),
                    "kind": prediction["kind"] ?? .string(output.kind.rawValue), "value": prediction["value"] ?? .null,
                    "target_from": prediction["target_from"] ?? .string(asOf.iso8601),
                    "target_to": prediction["target_to"] ?? .string((asOf + .seconds(output.horizonSeconds)).iso8601),
                ])
            }
        }
    }

    /// The point in time of all runs.
    public var asOf: Timestamp
    /// The table.
    public var cases: [Case]

    /// The table as it stands in the repository; nil when it cannot be read.
    public static let shared: GoldenRows? = {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../sdk/golden/rows.json").standardizedFileURL
        return (try? Data(contentsOf: path)).flatMap { try? WireJSON.decode(GoldenRows.self, from: [UInt8]($0)) }
    }()
}
