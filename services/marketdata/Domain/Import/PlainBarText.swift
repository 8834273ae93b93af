import Bars

/// A file of bars in which every row is as it should be, read straight into columns: what most files are, and what long ones have to be.
///
/// Reading stops at the first thing that is anything else (a missing field, a word, an exponent, a high below the low): then there is nothing, and the file is
/// read row by row, where each fault is named by its line.
struct PlainBarText {
    /// Where a row's fields stand.
    struct Fields {
        var separator: UInt8
        var count: Int
        var time: Int
        /// Open, high, low and close.
        var prices: [Int]
        var volume: Int?
    }

    private(set) var stamps: [Int64] = []
    private(set) var prices: [PlainDecimals] = Array(repeating: PlainDecimals(), count: 4)
    private(set) var volumes: PlainDecimals?
    /// Whether every time is a date alone.
    private(set) var isDateOnly = true

    private enum Role {
        case time
        case price(Int)
        case volume
        case other
    }

    /// Reads the rows from an offset on; nothing when one is not plain.
    init?(_ text: [UInt8], from offset: Int, fields: Fields) {
        var roles = [Role](repeating: .other, count: fields.count)
        guard fields.time < fields.count else { return nil }
        roles[fields.time] = .time
        for (index, field) in fields.prices.enumerated() {
            guard field < fields.count else { return nil }
            roles[field] = .price(index)
        }
        if let volume = fields.volume {
            guard volume < fields.count else { return nil }
            roles[volume] = .volume
            volumes = PlainDecimals()
        }
        reserve(text, from: offset)
        guard text.withUnsafeBufferPointer({ read($0, offset, roles, fields.separator) }), !stamps.isEmpty, alignPrices() else { return nil }
        guard PlainDecimals.areBars(open: prices[0], high: prices[1], low: prices[2], close: prices[3]), volumes?.hasNegative != true else {
            return nil
        }
    }

    /// Takes memory for as many rows as there are if all are about as long as the first hundred.
    private mutating func reserve(_ text: [UInt8], from offset: Int) {
        let sample = text[min(offset, text.count)...].prefix(10_000)
        let rows = (text.count - offset) / max(sample.count, 1) * (sample.count { $0 == 0x0A } + 1)
        stamps.reserveCapacity(rows)
        for column in 0..<4 { prices[column].reserveCapacity(rows) }
        volumes?.reserveCapacity(rows)
    }

    private mutating func read(_ text: UnsafeBufferPointer<UInt8>, _ offset: Int, _ roles: [Role], _ separator: UInt8) -> Bool {
        var clock = PlainTimes()
        defer { isDateOnly = clock.isDateOnly }
        var at = offset
        while at < text.count {
            // Blank lines are expected at the end only.
            if text[at] == 0x0A { return text[at...].allSatisfy { $0 == 0x0A } }
            for (index, role) in roles.enumerated() {
                let isLast = index == roles.count - 1
                switch role {
                case .price(let column): guard prices[column].append(text, &at) else { return false }
                case .volume: guard volumes?.append(text, &at) == true else { return false }
                case .time, .other:
                    let start = at
                    while at < text.count, text[at] != separator, text[at] != 0x0A { at += 1 }
                    guard case .time = role else { break }
                    let end = isLast && at > start && text[at - 1] == 0x0D ? at - 1 : at
                    guard let stamp = clock.microseconds(UnsafeBufferPointer(rebasing: text[start..<end])) else { return false }
                    stamps.append(stamp)
                }
                if isLast {
                    if at < text.count, text[at] == 0x0D { at += 1 }
                    guard at == text.count || text[at] == 0x0A else { return false }
                } else {
                    guard at < text.count, text[at] == separator else { return false }
                }
                at += 1
            }
        }
        return true
    }

    /// Prices are compared with one another, and share one scale in a series.
    private mutating func alignPrices() -> Bool {
        let scale = prices.map { $0.leastScale }.max() ?? 0
        for column in 0..<4 where !prices[column].rescale(to: scale) { return false }
        return true
    }
}
