import Bars
import Contracts
import Cryptography

/// Which of the corporate actions a view of the prices takes into account.
enum Adjustment: String, Sendable, CaseIterable {
    /// None: prices as they were printed.
    case raw
    /// Splits and share dividends.
    case split
    /// These and what was paid out.
    case full
}

/// What adjusts the bars of one question: the actions that were known and in force at its moment.
struct AdjustmentView: Sendable {
    let kind: Adjustment
    let price: PriceAdjustment
    private let actions: [(action: CorporateAction, inForceFrom: Int64)]

    /// Takes the actions that were recorded for the asker; of them those count that are in force at the moment (microseconds since 1970).
    init(_ kind: Adjustment, actions: [CorporateAction], clock: TradingClock, cut: Int64) {
        self.kind = kind
        var known: [(action: CorporateAction, inForceFrom: Int64)] = []
        for action in actions {
            let ratio = kind == .split ? action.ratio.splitOnly : action.ratio
            let instant = action.inForceFrom(clock)
            if instant <= cut, ratio != .none { known.append((action, instant)) }
        }
        self.actions = known
        price = PriceAdjustment(
            known.map { PriceAdjustment.Step(instant: $0.inForceFrom, ratio: kind == .split ? $0.action.ratio.splitOnly : $0.action.ratio) }
        )
    }

    /// Everything by which two views of the same chunks can differ.
    var fingerprint: String { "\(kind.rawValue)\(lines(after: .min))" }

    /// The hash of an answer with the revisions of the actions that changed one of its bars: those in force after its first one began.
    func digest(of dataSHA256: SHA256Digest, firstStart: Int64?) -> SHA256Digest {
        guard let firstStart else { return dataSHA256 }
        let lines = lines(after: firstStart)
        return lines.isEmpty ? dataSHA256 : SHA256.digest(Array("\(dataSHA256.hex) \(kind.rawValue)\(lines)\n".utf8))
    }

    private func lines(after start: Int64) -> String {
        var text = ""
        for (action, instant) in actions where instant > start {
            let ratio = action.ratio
            text += "\n\(action.day.text) \(action.revision) \(instant) "
            text += "\(ratio.splitNumerator)/\(ratio.splitDenominator) \(kind == .split ? AdjustmentRatio.one : ratio.priceTrillionths)"
        }
        return text
    }

    /// Series that can be adjusted: a row of weeks may hold a split in its middle, so rows of a day and less go before them.
    static func adjustable(_ series: [StoredSeries]) -> [StoredSeries] {
        let short = series.filter { $0.key.intervalSeconds <= 86_400 }
        return short.isEmpty ? series : short
    }
}
