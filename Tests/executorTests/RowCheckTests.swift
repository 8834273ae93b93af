import Contracts
import Testing

@testable import executor

/// The executor's own word on rows, whatever the runner in the sandbox said.
@Suite struct RowCheckTests {
    private static let asOf = Timestamp(microseconds: 1_475_928_060_000_000)

    private static func row(_ changes: [String: JSONValue] = [:]) -> JSONValue {
        let plain: [String: JSONValue] = [
            "row": 0, "instrument": "BTCUSD", "kind": "price", "value": "616.53", "target_from": "2016-10-08T12:01:00.000000Z",
            "target_to": "2016-10-08T12:02:00.000000Z",
        ]
        return .object(plain.merging(changes) { $1 })
    }

    private static func check(_ kind: OutputKind = .price, rows: Int = 2) -> RowCheck {
        RowCheck(output: ManifestOutput(kind: kind, instrument: "BTCUSD", horizonSeconds: 60, maximumRows: rows), asOf: asOf)
    }

    @Test func aRightRowIsTaken() throws {
        let rows = try Self.check().rows([Self.row(), Self.row(["row": 1])])
        #expect(rows.map(\.row) == [0, 1])
        #expect(rows.first?.value == .single(try #require(DecimalText("616.53"))))
    }

    @Test(
        arguments: [
            (["row": 1], "its number is not 0"),
            (["instrument": "ETHUSD"], "instrument is 'ETHUSD', but the manifest promises 'BTCUSD'"),
            (["kind": "direction"], "kind is 'direction', but the manifest promises 'price'"),
            (["kind": "mood"], "kind is no kind at all"),
            (["value": .number(JSONNumber(616.53)!)], "value is not decimal text"),
            (["value": "1e5"], "value is not decimal text"),
            (["value": "NaN"], "value is not decimal text"),
            (["value": .string(String(repeating: "9", count: 65))], "value is not decimal text"),
            (["value": nil], "value is not decimal text"),
            (["target_from": "2016-10-08T12:00:59.999999Z"], "target_from lies before as_of"),
            (["target_to": "2016-10-08T12:01:00.000000Z"], "target_to does not lie after target_from"),
            (["target_to": "2016-10-08T12:02:00.000001Z"], "target_to must be horizon_seconds (60) after target_from"),
            (["target_from": "2016-10-08T12:01:30.000000Z"], "target_to must be horizon_seconds (60) after target_from"),
            (["target_to": "tomorrow"], "target_to is not a UTC time"),
            (["extra": 1], "unknown member 'extra'"),
        ] as [([String: JSONValue], String)]
    )
    func aWrongRowIsNamed(changes: [String: JSONValue], words: String) {
        #expect {
            _ = try Self.check().rows([Self.row(changes)])
        } throws: { error in
            guard let error = error as? InvalidOutput else { return false }
            return error.row == 0 && error.reason.contains(words)
        }
    }

    @Test(arguments: [
        (OutputKind.direction, "2", false), (.direction, "0.5", false), (.direction, "-1", true), (.probability, "1.01", false),
        (.probability, "-0.1", false), (.probability, "1", true), (.probability, "0.337", true), (.return, "-0.5", true), (.return, "-1", true),
        (.return, "-1.01", false), (.price, "-37.63", true),
    ])
    func valuesFitTheirKind(kind: OutputKind, value: String, fits: Bool) {
        let row = Self.row(["kind": .string(kind.rawValue), "value": .string(value)])
        let rows = try? Self.check(kind).rows([row])
        #expect((rows != nil) == fits)
    }

    @Test(
        arguments: [
            (["0.1": "1", "0.9": "2"], true), (["0.1": "3", "0.9": "2"], false), (["0": "1"], false), (["1": "1"], false), ([:], false),
            (["0.10": "1"], false), (["x": "1"], false), (["0.5": 1], false),
        ] as [([String: JSONValue], Bool)]
    )
    func quantilesRiseWithTheirLevels(levels: [String: JSONValue], fits: Bool) {
        let row = Self.row(["kind": "quantiles", "value": .object(levels)])
        let rows = try? Self.check(.quantiles).rows([row])
        #expect((rows != nil) == fits)
    }

    @Test func tooManyRowsAreRefusedByNumber() {
        #expect(throws: InvalidOutput(row: 1, reason: "there are 2 rows, more than the manifest's maximum_rows, 1")) {
            try Self.check(rows: 1).rows([Self.row(), Self.row(["row": 1])])
        }
    }
}
