/// How a column of integers becomes bytes: numbers near zero, split by significance into planes of bytes, each compressed by zstd where that pays.
///
/// Nearly all that is left after the differences, the common factor and the sign are dealt with is in the lowest plane, whose bytes zstd writes in hardly more
/// bits than their entropy; packing each number into whole bits takes a quarter more.
///
/// Layout: a byte of `Form` with the number of planes, base, factor and (for `running`) the first value as variable-length integers; then each plane as its
/// stored length (doubled, plus one if it is compressed) and its bytes.
enum BytePlanes {
    /// What a reader makes of the stored numbers u, with the base b and the factor f: value = b + f·u.
    struct Form: OptionSet {
        let rawValue: UInt8
        /// The sign is the lowest bit of u: 0, 1, 2, 3 stand for 0, -1, 1, -2.
        static let folded = Form(rawValue: 0x10)
        /// Each value is the sum of the one before and b + f·u.
        static let running = Form(rawValue: 0x20)
        /// 0 stands for an unknown value; all others are one more.
        static let gaps = Form(rawValue: 0x40)
        /// All values fit four bytes.
        static let narrow = Form(rawValue: 0x80)
        static let planes: UInt8 = 0x0F
    }

    /// What is expected of a column's values.
    enum Nature {
        /// Small numbers of any order: volumes, lengths. `Int64.min` stands for an unknown one.
        case amounts
        /// Each a little more than the one before: times.
        case rising
        /// Each close to the one before: prices that stand alone.
        case wandering
        /// Around zero: what is left of prices that were foretold.
        case residuals
    }

    static func append(_ values: [Int64], nature: Nature, isNarrow: Bool = false, compressor: Zstandard.Compressor, to bytes: inout [UInt8]) {
        var form: Form = isNarrow ? [.narrow] : []
        var steps = values
        var known = 0..<values.count
        switch nature {
        case .amounts: if values.contains(ScaledColumn.missing) { form.insert(.gaps) }
        case .residuals: form.insert(.folded)
        case .rising, .wandering:
            form.insert(.running)
            if nature == .wandering { form.insert(.folded) }
            steps = differences(values, isNarrow: isNarrow)
            known = min(1, values.count)..<values.count
        }
        let hasGaps = form.contains(.gaps)
        var base: Int64 = 0
        if !form.contains(.folded) {
            base = .max
            for step in steps[known] where !(hasGaps && step == ScaledColumn.missing) { base = min(base, step) }
            if base == .max { base = 0 }
        }
        let factor = commonFactor(steps, known, base: base, hasGaps: hasGaps)
        // Far apart, even a difference leaves 64 bits: everything wraps, here and in the reader.
        let isFolded = form.contains(.folded)
        let divisor = UInt64(factor)
        var all: UInt64 = 0
        let numbers = [UInt64](unsafeUninitializedCapacity: steps.count) { buffer, filled in
            let steps = steps.span
            for row in 0..<steps.count {
                let step = steps[unchecked: row]
                var number: UInt64 = 0
                if row >= known.lowerBound, !(hasGaps && step == ScaledColumn.missing) {
                    if isFolded {
                        let scaled = factor > 1 ? step / factor : step
                        number = UInt64(bitPattern: (scaled << 1) ^ (scaled >> 63))
                    } else {
                        number = UInt64(bitPattern: step &- base)
                        if factor > 1 { number /= divisor }
                        if hasGaps { number &+= 1 }
                    }
                }
                buffer.initializeElement(at: row, to: number)
                all |= number
            }
            filled = steps.count
        }
        append(form, numbers, all, base: base, factor: factor, first: values.first ?? 0, compressor, to: &bytes)
    }

    /// How each value differs from the one before; nothing for the first.
    private static func differences(_ values: [Int64], isNarrow: Bool) -> [Int64] {
        [Int64](unsafeUninitializedCapacity: values.count) { buffer, filled in
            let values = values.span
            for row in 0..<values.count {
                let step = row == 0 ? 0 : values[unchecked: row] &- values[unchecked: row - 1]
                buffer.initializeElement(at: row, to: isNarrow ? Int64(Int32(truncatingIfNeeded: step)) : step)
            }
            filled = values.count
        }
    }

    /// Float64 as they are, each against the bits of the one before.
    static func append(_ values: [Double], compressor: Zstandard.Compressor, to bytes: inout [UInt8]) {
        var numbers: [UInt64] = []
        numbers.reserveCapacity(values.count)
        var (previous, all): (UInt64, UInt64) = (0, 0)
        for value in values {
            numbers.append(value.bitPattern ^ previous)
            all |= value.bitPattern ^ previous
            previous = value.bitPattern
        }
        append([], numbers, all, base: 0, factor: 1, first: 0, compressor, to: &bytes)
    }

    private static func append(
        _ form: Form,
        _ numbers: [UInt64],
        _ all: UInt64,
        base: Int64,
        factor: Int64,
        first: Int64,
        _ compressor: Zstandard.Compressor,
        to bytes: inout [UInt8]
    ) {
        let planes = (64 - all.leadingZeroBitCount + 7) / 8
        bytes.append(form.rawValue | UInt8(planes))
        VariableLength.append(signed: base, to: &bytes)
        VariableLength.append(UInt64(factor), to: &bytes)
        if form.contains(.running) { VariableLength.append(signed: first, to: &bytes) }
        for index in 0..<planes {
            let shift = UInt64(index * 8)
            let plane = [UInt8](unsafeUninitializedCapacity: numbers.count) { buffer, filled in
                let numbers = numbers.span
                for row in 0..<numbers.count { buffer.initializeElement(at: row, to: UInt8(truncatingIfNeeded: numbers[unchecked: row] &>> shift)) }
                filled = numbers.count
            }
            let packed = numbers.count > 24 ? compressor.compress(plane) : nil
            if let packed, packed.count < plane.count {
                VariableLength.append(UInt64(packed.count) << 1 | 1, to: &bytes)
                bytes.append(contentsOf: packed)
            } else {
                VariableLength.append(UInt64(plane.count) << 1, to: &bytes)
                bytes.append(contentsOf: plane)
            }
        }
    }

    /// What divides all distances from the base: the tick of prices, the lot of volumes, the interval of times.
    private static func commonFactor(_ steps: [Int64], _ known: Range<Int>, base: Int64, hasGaps: Bool) -> Int64 {
        var common: UInt64 = 0
        for row in known where !(hasGaps && steps[row] == ScaledColumn.missing) {
            var rest = base == 0 ? steps[row].magnitude : UInt64(bitPattern: steps[row] &- base)
            while rest != 0 { (common, rest) = (rest, common % rest) }
            if common == 1 { break }
        }
        return common == 0 || common > UInt64(Int64.max) ? 1 : Int64(common)
    }
}

/// Integers in as many bytes as they need, seven bits each, the lowest first.
enum VariableLength {
    static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    static func append(signed value: Int64, to bytes: inout [UInt8]) { append(UInt64(bitPattern: (value << 1) ^ (value >> 63)), to: &bytes) }
}
