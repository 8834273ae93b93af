import Bars
import FoundationEssentials

/// Bars in one file a column, as the peers' data generator writes them.
struct RawColumns {
    let folder: String

    /// Prices become integers of so many places; a row is a second long.
    func series(pricePlaces: Int) throws -> BarSeries {
        let starts = try column("ts", as: Int64.self).map { $0 / 1_000 }
        let factor = (0..<pricePlaces).reduce(1.0) { product, _ in product * 10 }
        func prices(_ name: String) throws -> ScaledColumn {
            ScaledColumn(integers: try column(name, as: Double.self).map { Int64(($0 * factor).rounded()) }, scale: pricePlaces)
        }
        return try BarSeries(
            starts: starts,
            ends: starts.map { $0 + 1_000_000 },
            open: prices("open"),
            high: prices("high"),
            low: prices("low"),
            close: prices("close"),
            volume: ScaledColumn(integers: column("volume", as: Int64.self), scale: 0)
        )
    }

    private func column<Value: BitwiseCopyable>(_ name: String, as type: Value.Type) throws -> [Value] {
        let data = try Data(contentsOf: URL(filePath: "\(folder)/\(name).bin"))
        return data.withUnsafeBytes { Array($0.bindMemory(to: Value.self)) }
    }
}

extension BarSeries {
    /// Cut at midnight UTC.
    var days: [BarSeries] {
        var days: [BarSeries] = []
        var row = 0
        while row < count {
            let next = firstRow(startingFrom: (CivilDay(utcMicroseconds: starts[row]) + 1).seconds * 1_000_000)
            days.append(slice(row..<next))
            row = next
        }
        return days
    }
}
