#if canImport(Glibc)
    import Glibc
#endif

/// A number as it stood in a file: exact as an integer over a power of ten where 64 bits allow, else the nearest Float64.
public enum DecimalNumber: Sendable, Equatable {
    /// `mantissa / 10^scale`, scale 0–18, without trailing zeros after the point.
    case exact(mantissa: Int64, scale: Int)
    /// The nearest Float64 of a number with more digits than 64 bits hold.
    case float(Double)

    /// Reads `-12.50`, `1e-05`, `.5`; gives nothing for empty text, NaN, infinities and anything else.
    public init?(_ text: UnsafeBufferPointer<UInt8>) {
        var at = 0
        let count = text.count
        guard count > 0, count < 64 else { return nil }
        var negative = false
        if text[0] == 0x2D || text[0] == 0x2B {
            negative = text[0] == 0x2D
            at = 1
        }
        var mantissa: Int64 = 0
        var scale = 0
        var digits = 0
        var overflowed = false
        var sawPoint = false
        while at < count {
            let byte = text[at]
            if byte >= 0x30, byte <= 0x39 {
                digits += 1
                if mantissa > 922_337_203_685_477_579 {
                    overflowed = true
                } else {
                    mantissa = mantissa &* 10 &+ Int64(byte &- 0x30)
                    if sawPoint { scale += 1 }
                }
            } else if byte == 0x2E, !sawPoint {
                sawPoint = true
            } else {
                break
            }
            at += 1
        }
        guard digits > 0 else { return nil }
        if at < count {
            guard text[at] | 0x20 == 0x65, let exponent = Self.exponent(text, at + 1) else { return nil }
            scale -= exponent
        }
        while scale > 0, mantissa % 10 == 0, !overflowed {
            if mantissa == 0 {
                scale = 0
            } else {
                mantissa /= 10
                scale -= 1
            }
        }
        while scale < 0, !overflowed {
            let (product, overflow) = mantissa.multipliedReportingOverflow(by: 10)
            overflowed = overflow
            mantissa = product
            scale += 1
        }
        if overflowed || scale > 18 {
            let value = strtod(String(decoding: text, as: UTF8.self), nil)
            guard value.isFinite else { return nil }
            self = .float(value)
        } else {
            self = .exact(mantissa: negative ? -mantissa : mantissa, scale: scale)
        }
    }

    /// Reads a number from text, as the bytes form does.
    public init?(_ text: String) {
        var copy = text
        let parsed = copy.withUTF8 { DecimalNumber($0) }
        guard let parsed else { return nil }
        self = parsed
    }

    /// The nearest Float64.
    public var double: Double {
        switch self {
        case .exact(let mantissa, let scale): decimalDouble(mantissa, scale)
        case .float(let value): value
        }
    }

    /// Whether the number is zero.
    public var isZero: Bool { double == 0 }

    /// The number as text without exponent where it is exact.
    public var text: String {
        switch self {
        case .exact(let mantissa, let scale): decimalText(mantissa, scale)
        case .float(let value): "\(value)"
        }
    }

    /// The number divided by a power of ten, for files that hold prices as whole ten-thousandths.
    public func shifted(byPowersOfTen places: Int) -> DecimalNumber {
        switch self {
        case .exact(var mantissa, let scale):
            if mantissa == 0 { return self }
            var moved = scale + places
            while moved > 0, mantissa % 10 == 0 {
                mantissa /= 10
                moved -= 1
            }
            return moved <= 18 ? .exact(mantissa: mantissa, scale: moved) : .float(decimalDouble(mantissa, moved))
        case .float(let value): return .float(value / powerOfTen(places))
        }
    }

    private static func exponent(_ text: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int? {
        var at = start
        guard at < text.count else { return nil }
        var sign = 1
        if text[at] == 0x2D || text[at] == 0x2B {
            sign = text[at] == 0x2D ? -1 : 1
            at += 1
        }
        guard at < text.count, text.count - at <= 3 else { return nil }
        var value = 0
        while at < text.count {
            guard text[at] >= 0x30, text[at] <= 0x39 else { return nil }
            value = value * 10 + Int(text[at] - 0x30)
            at += 1
        }
        return sign * value
    }
}

let integerPowersOfTen: [Int64] = {
    var powers: [Int64] = [1]
    for _ in 1...18 { powers.append(powers[powers.count - 1] * 10) }
    return powers
}()

private let doublePowersOfTen: [Double] = {
    var powers: [Double] = [1]
    for _ in 1...22 { powers.append(powers[powers.count - 1] * 10) }
    return powers
}()

func powerOfTen(_ exponent: Int) -> Double { exponent <= 22 ? doublePowersOfTen[exponent] : pow(10, Double(exponent)) }

/// The nearest Float64 of `mantissa / 10^scale`: one correctly rounded division where both are exact in Float64, strtod elsewhere.
func decimalDouble(_ mantissa: Int64, _ scale: Int) -> Double {
    if mantissa.magnitude <= 1 << 53, scale <= 22 { return Double(mantissa) / doublePowersOfTen[scale] }
    return strtod("\(mantissa)e-\(scale)", nil)
}

func decimalText(_ mantissa: Int64, _ scale: Int) -> String {
    var bytes: [UInt8] = []
    appendDecimal(mantissa, scale, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

/// Writes `mantissa / 10^scale` without exponent and without trailing zeros after the point.
func appendDecimal(_ mantissa: Int64, _ scale: Int, to bytes: inout [UInt8]) {
    var value = mantissa.magnitude
    var places = scale
    while places > 0, value % 10 == 0, value != 0 {
        value /= 10
        places -= 1
    }
    if value == 0 { places = 0 }
    if mantissa < 0 { bytes.append(0x2D) }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 48) { digits in
        var count = 0
        repeat {
            digits[count] = UInt8(truncatingIfNeeded: value % 10) + 0x30
            value /= 10
            count += 1
            if count == places {
                digits[count] = 0x2E
                count += 1
                if value == 0 {
                    digits[count] = 0x30
                    count += 1
                }
            }
        } while value != 0 || count < places
        while count > 0 {
            count -= 1
            bytes.append(digits[count])
        }
    }
}
