import Contracts

/// Why a run is refused: one bad row refuses all of them.
struct RowFault: Error, Sendable, Hashable {
    /// The row's number; nil when the run as a whole is at fault.
    var row: Int?
    var reason: String
}

/// Checks what a run gave against what its manifest promised. The executor checks the same before; the ledger believes nobody.
enum RowRules {
    /// The first fault, or nil when every row may be recorded.
    static func firstFault(rows: [PredictionRow], manifest: Manifest, asOf: Timestamp, feed: FeedKind) -> RowFault? {
        guard rows.count <= manifest.output.maximumRows else {
            return RowFault(row: nil, reason: "\(rows.count) rows, but the manifest allows \(manifest.output.maximumRows)")
        }
        let instruments = Set(manifest.inputs.map(\.instrument) + [manifest.output.instrument])
        for (index, row) in rows.enumerated() {
            if let reason = fault(row, at: index, manifest.output, instruments: instruments, asOf: asOf, feed: feed) {
                return RowFault(row: index, reason: reason)
            }
        }
        return nil
    }

    private static func fault(
        _ row: PredictionRow,
        at index: Int,
        _ output: ManifestOutput,
        instruments: Set<String>,
        asOf: Timestamp,
        feed: FeedKind
    ) -> String? {
        if row.row != index { return "rows are numbered from 0 without gaps; this one says \(row.row)" }
        if !instruments.contains(row.instrument) { return "the instrument '\(row.instrument.prefix(64))' is not in the manifest" }
        if row.kind != output.kind { return "the kind is '\(row.kind.rawValue)', but the manifest says '\(output.kind.rawValue)'" }
        if let fault = valueFault(row.value, kind: row.kind) { return fault }
        if row.targetTo <= row.targetFrom { return "target_to must be after target_from" }
        if row.targetTo - row.targetFrom != .seconds(output.horizonSeconds) {
            return "target_to must be horizon_seconds (\(output.horizonSeconds)) after target_from"
        }
        // A replay's bars keep their recorded times, so its windows may lie long before the moment of release.
        if feed == .live, row.targetFrom < asOf { return "target_from lies before as_of: what is already known cannot be predicted" }
        return nil
    }

    private static func valueFault(_ value: PredictionValue, kind: OutputKind) -> String? {
        let one = DecimalText(units: 1)
        switch (kind, value) {
        case (.direction, .single(let number)):
            return number < DecimalText(units: -1) || number > one ? "a direction lies from -1 to 1" : nil
        case (.probability, .single(let number)):
            return number < .zero || number > one ? "a probability lies from 0 to 1" : nil
        case (.return, .single(let number)):
            return number < DecimalText(units: -1) ? "a return is -1 or more" : nil
        case (.price, .single): return nil
        case (.quantiles, .quantiles(let values)): return quantilesFault(values)
        case (.quantiles, .single): return "the value of quantiles is an object, such as {\"0.1\": \"610\", \"0.9\": \"620\"}"
        case (_, .quantiles): return "the value is one decimal text"
        }
    }

    private static func quantilesFault(_ values: [String: DecimalText]) -> String? {
        guard (1...99).contains(values.count) else { return "1 to 99 quantiles" }
        var levels: [(level: DecimalText, value: DecimalText)] = []
        for (key, value) in values {
            guard let level = DecimalText(key), level.text == key, level > .zero, level < DecimalText(units: 1) else {
                return "a quantile's name is a decimal between 0 and 1 without needless zeros, such as \"0.05\""
            }
            levels.append((level, value))
        }
        levels.sort { $0.level < $1.level }
        for (lower, upper) in zip(levels, levels.dropFirst()) where upper.value < lower.value {
            return "the quantile \(upper.level) is below the quantile \(lower.level)"
        }
        return nil
    }
}
