import Contracts
import Foundation
import Testing

@testable import Schedules

/// One verdict on one table: `sdk/golden/schedules.json` is read by the Python SDK's tests too.
struct GoldenScheduleTests {
    struct Golden: Decodable, Sendable {
        struct Expression: Decodable, Sendable, CustomTestStringConvertible {
            var expression: String
            var isAccepted: Bool
            var testDescription: String { expression }
        }
        struct NamedZone: Decodable, Sendable, CustomTestStringConvertible {
            var zone: String
            var isAccepted: Bool
            var testDescription: String { zone }
        }
        var expressions: [Expression]
        var zones: [NamedZone]

        static let shared: Golden? = {
            let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../sdk/golden/schedules.json").standardizedFileURL
            return (try? Data(contentsOf: path)).flatMap { try? WireJSON.decode(Golden.self, from: [UInt8]($0)) }
        }()
    }

    private func accepts(_ expression: String, in zone: String) -> Bool {
        (try? ScheduleGrid(.cron(expression: expression, zone: zone))) != nil
    }

    @Test func theTableIsThere() { #expect((Golden.shared?.expressions.count ?? 0) > 40 && (Golden.shared?.zones.count ?? 0) > 15) }

    @Test(arguments: Golden.shared?.expressions ?? [])
    func expressions(_ one: Golden.Expression) { #expect(accepts(one.expression, in: "UTC") == one.isAccepted) }

    @Test(arguments: Golden.shared?.zones ?? [])
    func zones(_ one: Golden.NamedZone) { #expect(accepts("@daily", in: one.zone) == one.isAccepted) }
}
