/// What a manifest's output allows a row to be: one set of rules for all who check, from the author's own machine to the ledger.
///
/// `sdk/python/auspex/_rows.py` says the same in Python; `sdk/golden/rows.json` holds both to it.
public enum OutputRules {
    /// The longest decimal text of a value or a level, in bytes.
    public static let maximumValueBytes = 64
    /// Levels of one value at most.
    public static let maximumLevels = 99

    /// Why a row breaks the promise of the manifest; nil when it keeps it.
    ///
    /// - Parameter asOf: the run's point in time, before which nothing can be predicted; nil where rows may lie before it.
    public static func fault(of row: PredictionRow, number: Int, output: ManifestOutput, asOf: Timestamp?) -> String? {
        if row.row != number { return "its number is not \(number)" }
        if row.kind != output.kind { return "kind is '\(row.kind.rawValue)', but the manifest promises '\(output.kind.rawValue)'" }
        if row.instrument != output.instrument {
            return "instrument is '\(row.instrument.prefix(utf8Bytes: 64))', but the manifest promises '\(output.instrument)'"
        }
        if let asOf, row.targetFrom < asOf { return "target_from lies before as_of: that is known already" }
        if row.targetTo <= row.targetFrom { return "target_to does not lie after target_from" }
        if row.targetTo - row.targetFrom != .seconds(output.horizonSeconds) {
            return "target_to must be horizon_seconds (\(output.horizonSeconds)) after target_from"
        }
        return fault(of: row.value, kind: output.kind)
    }

    /// Why a run has too many rows; nil when it has not.
    public static func fault(ofCount count: Int, output: ManifestOutput) -> String? {
        count > output.maximumRows ? "there are \(count) rows, more than the manifest's maximum_rows, \(output.maximumRows)" : nil
    }

    /// Why a value is none of its kind; nil when it is.
    public static func fault(of value: PredictionValue, kind: OutputKind) -> String? {
        switch (kind, value) {
        case (.quantiles, .quantiles(let levels)): return fault(ofLevels: levels)
        case (.quantiles, .single): return "value is one number, but quantiles are a mapping such as {0.1: 99.5, 0.9: 101}"
        case (_, .quantiles): return "value is a mapping, but must be a number"
        case (_, .single(let number)): return fault(of: number, kind: kind)
        }
    }

    private static func fault(of number: DecimalText, kind: OutputKind) -> String? {
        let one = DecimalText(units: 1)
        if let fault = lengthFault(number, "value") { return fault }
        switch kind {
        case .direction where !["-1", "0", "1"].contains(number.text): return "value is \(number.text), but a direction is -1, 0 or 1"
        case .probability where number < .zero || number > one: return "value is \(number.text), but a probability lies between 0 and 1"
        case .return where number < DecimalText(units: -1): return "value is \(number.text), but a return is -1 or more"
        default: return nil
        }
    }

    private static func fault(ofLevels values: [String: DecimalText]) -> String? {
        if values.isEmpty { return "quantiles have no level" }
        if values.count > maximumLevels { return "there are \(values.count) levels, more than \(maximumLevels)" }
        var levels: [(level: DecimalText, value: DecimalText)] = []
        for (name, value) in values.sorted(by: { $0.key < $1.key }) {
            guard name.utf8.count <= maximumValueBytes, let level = DecimalText(name), level.text == name else {
                return "level '\(name.prefix(utf8Bytes: 40))' is not decimal text without needless zeros, such as '0.05'"
            }
            guard level > .zero, level < DecimalText(units: 1) else { return "level \(name) does not lie between 0 and 1" }
            if let fault = lengthFault(value, "the value at level \(name)") { return fault }
            levels.append((level, value))
        }
        levels.sort { $0.level < $1.level }
        for (lower, upper) in zip(levels, levels.dropFirst()) where lower.value > upper.value {
            return "the value at level \(lower.level) is above the value at level \(upper.level)"
        }
        return nil
    }

    private static func lengthFault(_ number: DecimalText, _ what: String) -> String? {
        let length = number.text.utf8.count
        return length > maximumValueBytes ? "\(what) has \(length) characters, but may have \(maximumValueBytes)" : nil
    }
}
