import Contracts

/// What is wrong with a run's answer, with the row that is wrong.
struct InvalidOutput: Error, Sendable, Hashable, CustomStringConvertible {
    /// The row's place, from 0; nil when it is not about one row.
    var row: Int?
    /// What is wrong, and what would be right.
    var reason: String

    /// In a line.
    var description: String { row.map { "row \($0): \(reason)" } ?? reason }
}

/// Holds the rows of a run against its manifest. The runner in the sandbox has done the same, but the author's code shares its process.
struct RowCheck {
    private let output: ManifestOutput
    private let asOf: Timestamp

    /// A check of rows for this output at this point in time.
    init(output: ManifestOutput, asOf: Timestamp) {
        self.output = output
        self.asOf = asOf
    }

    /// The rows as predictions; throws at the first that breaks the manifest's promise.
    func rows(_ values: [JSONValue]) throws(InvalidOutput) -> [PredictionRow] {
        if let reason = OutputRules.fault(ofCount: values.count, output: output) { throw InvalidOutput(row: output.maximumRows, reason: reason) }
        var rows: [PredictionRow] = []
        for (number, value) in values.enumerated() { rows.append(try row(value, number)) }
        return rows
    }

    private func row(_ value: JSONValue, _ number: Int) throws(InvalidOutput) -> PredictionRow {
        func fail(_ reason: String) -> InvalidOutput { InvalidOutput(row: number, reason: reason) }
        guard let members = value.object else { throw fail("it is \(value.kindName), not an object") }
        let known: Set = ["row", "instrument", "kind", "value", "target_from", "target_to"]
        if let stranger = members.keys.filter({ !known.contains($0) }).min() {
            throw fail("it has an unknown member '\(stranger.prefix(utf8Bytes: 40))'")
        }
        guard members["row"]?.integer == Int64(number) else { throw fail("its number is not \(number)") }
        guard let instrument = members["instrument"]?.string else { throw fail("instrument is not text") }
        guard let kind = members["kind"]?.string.flatMap({ OutputKind(rawValue: $0) }) else { throw fail("kind is no kind at all") }
        guard let from = members["target_from"]?.string.flatMap({ Timestamp(iso8601: $0) }) else { throw fail("target_from is not a UTC time") }
        guard let to = members["target_to"]?.string.flatMap({ Timestamp(iso8601: $0) }) else { throw fail("target_to is not a UTC time") }
        let value: PredictionValue
        do throws(InvalidOutput) { value = try self.value(members["value"] ?? .null) } catch { throw fail(error.reason) }
        let row = PredictionRow(row: number, instrument: instrument, kind: kind, value: value, targetFrom: from, targetTo: to)
        if let reason = OutputRules.fault(of: row, number: number, output: output, asOf: asOf) { throw fail(reason) }
        return row
    }

    private func value(_ value: JSONValue) throws(InvalidOutput) -> PredictionValue {
        guard let members = value.object else { return .single(try decimal(value, "value")) }
        var levels: [String: DecimalText] = [:]
        for name in members.keys.sorted() {
            levels[name] = try decimal(members[name] ?? .null, "the value at level \(name.prefix(utf8Bytes: 40))")
        }
        return .quantiles(levels)
    }

    private func decimal(_ value: JSONValue, _ what: String) throws(InvalidOutput) -> DecimalText {
        guard let text = value.string, let number = DecimalText(text), text.utf8.count <= OutputRules.maximumValueBytes else {
            throw InvalidOutput(reason: "\(what) is not decimal text of at most \(OutputRules.maximumValueBytes) characters")
        }
        return number
    }
}
