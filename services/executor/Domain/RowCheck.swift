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

    static let longestValue = 64

    /// A check of rows for this output at this point in time.
    init(output: ManifestOutput, asOf: Timestamp) {
        self.output = output
        self.asOf = asOf
    }

    /// The rows as predictions; throws at the first that breaks the manifest's promise.
    func rows(_ values: [JSONValue]) throws(InvalidOutput) -> [PredictionRow] {
        if values.count > output.maximumRows {
            throw InvalidOutput(
                row: output.maximumRows,
                reason: "there are \(values.count) rows, more than the manifest's maximum_rows, \(output.maximumRows)"
            )
        }
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
        guard members["instrument"]?.string == output.instrument else {
            throw fail("its instrument is not the manifest's, '\(output.instrument)'")
        }
        guard members["kind"]?.string == output.kind.rawValue else { throw fail("its kind is not the manifest's, '\(output.kind.rawValue)'") }
        guard let from = members["target_from"]?.string.flatMap({ Timestamp(iso8601: $0) }) else { throw fail("target_from is not a UTC time") }
        guard let to = members["target_to"]?.string.flatMap({ Timestamp(iso8601: $0) }) else { throw fail("target_to is not a UTC time") }
        guard from >= asOf else { throw fail("target_from lies before as_of: that is known already") }
        guard to > from else { throw fail("target_to does not lie after target_from") }
        guard to - from == .seconds(output.horizonSeconds) else {
            throw fail("target_to must be horizon_seconds (\(output.horizonSeconds)) after target_from")
        }
        let prediction: PredictionValue
        do throws(InvalidOutput) {
            prediction = try self.value(members["value"] ?? .null)
        } catch {
            throw fail(error.reason)
        }
        return PredictionRow(row: number, instrument: output.instrument, kind: output.kind, value: prediction, targetFrom: from, targetTo: to)
    }

    private func value(_ value: JSONValue) throws(InvalidOutput) -> PredictionValue {
        if output.kind == .quantiles { return .quantiles(try quantiles(value)) }
        let number = try decimal(value, "value")
        switch output.kind {
        case .direction where !["-1", "0", "1"].contains(number.text):
            throw InvalidOutput(reason: "value is \(number.text), but a direction is -1, 0 or 1")
        case .probability where number.isNegative || number > DecimalText(units: 1):
            throw InvalidOutput(reason: "value is \(number.text), but a probability lies between 0 and 1")
        default: return .single(number)
        }
    }

    private func quantiles(_ value: JSONValue) throws(InvalidOutput) -> [String: DecimalText] {
        guard let members = value.object, !members.isEmpty else { throw InvalidOutput(reason: "quantiles are an object with at least one level") }
        var levels: [(level: DecimalText, number: DecimalText)] = []
        for (name, number) in members {
            guard name.utf8.count <= Self.longestValue, let level = DecimalText(name), level.text == name, level > .zero,
                level < DecimalText(units: 1)
            else {
                throw InvalidOutput(reason: "level '\(name.prefix(utf8Bytes: 40))' is not a decimal between 0 and 1")
            }
            levels.append((level, try decimal(number, "the value at level \(name)")))
        }
        levels.sort { $0.level < $1.level }
        for (lower, upper) in zip(levels, levels.dropFirst()) where lower.number > upper.number {
            throw InvalidOutput(reason: "the value at level \(lower.level) is above the value at level \(upper.level)")
        }
        return Dictionary(uniqueKeysWithValues: levels.map { ($0.level.text, $0.number) })
    }

    private func decimal(_ value: JSONValue, _ what: String) throws(InvalidOutput) -> DecimalText {
        guard let text = value.string, let number = DecimalText(text), number.text.utf8.count <= Self.longestValue else {
            throw InvalidOutput(reason: "\(what) is not decimal text of at most \(Self.longestValue) characters")
        }
        return number
    }
}
