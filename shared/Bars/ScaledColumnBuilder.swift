/// Collects numbers as they come from a file and settles at the end on the smallest scale that holds them all exactly.
public struct ScaledColumnBuilder: Sendable {
    private var mantissas: [Int64] = []
    private var scales: [UInt8] = []
    private var floats: [Int: Double] = [:]
    private var largestScale = 0

    /// An empty column.
    public init() {}

    /// The number of values so far.
    public var count: Int { mantissas.count }

    /// Takes memory for so many values at once.
    public mutating func reserveCapacity(_ count: Int) {
        mantissas.reserveCapacity(count)
        scales.reserveCapacity(count)
    }

    /// Adds a value; nothing means unknown.
    public mutating func append(_ number: DecimalNumber?) {
        switch number {
        case .exact(let mantissa, let scale):
            mantissas.append(mantissa)
            scales.append(UInt8(scale))
            largestScale = max(largestScale, scale)
        case .float(let value):
            floats[mantissas.count] = value
            mantissas.append(0)
            scales.append(0)
        case nil:
            mantissas.append(ScaledColumn.missing)
            scales.append(0)
        }
    }

    /// The largest number of decimals seen, which a group of columns may want to share.
    public var scale: Int { largestScale }

    /// The finished column: exact integers where all values fit one scale (at least the given one), else Float64.
    public func finish(atLeastScale least: Int = 0) -> ScaledColumn {
        let scale = max(largestScale, least)
        if floats.isEmpty, let values = aligned(scale) { return ScaledColumn(integers: values, scale: scale) }
        var values: [Double] = []
        values.reserveCapacity(mantissas.count)
        for index in 0..<mantissas.count {
            if let value = floats[index] {
                values.append(value)
            } else if mantissas[index] == ScaledColumn.missing {
                values.append(.nan)
            } else {
                values.append(decimalDouble(mantissas[index], Int(scales[index])))
            }
        }
        return ScaledColumn(.floats(values))
    }

    private func aligned(_ scale: Int) -> [Int64]? {
        var values = mantissas
        for index in 0..<values.count where Int(scales[index]) != scale && values[index] != ScaledColumn.missing {
            let (product, overflow) = values[index].multipliedReportingOverflow(by: integerPowersOfTen[scale - Int(scales[index])])
            if overflow || product == ScaledColumn.missing { return nil }
            values[index] = product
        }
        return values
    }
}
