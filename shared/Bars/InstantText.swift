/// Writes instants as `2016-10-08T12:01:00.000000Z`, one after the other; the date is made once a day.
struct InstantText {
    private var day = CivilDay(number: .min / 2)
    private var date: [UInt8] = []

    /// Writes an instant in microseconds since 1970.
    mutating func append(_ instant: Int64, to bytes: inout [UInt8]) {
        let seconds = floorDivide(instant, 1_000_000)
        let number = Int(floorDivide(seconds, 86_400))
        if number != day.number {
            day = CivilDay(number: number)
            date = Array("\(day.text)T".utf8)
        }
        bytes.append(contentsOf: date)
        let second = Int(seconds - Int64(number) * 86_400)
        Self.digits(second / 3_600, 2, to: &bytes)
        bytes.append(0x3A)
        Self.digits(second / 60 % 60, 2, to: &bytes)
        bytes.append(0x3A)
        Self.digits(second % 60, 2, to: &bytes)
        bytes.append(0x2E)
        Self.digits(Int(instant - seconds * 1_000_000), 6, to: &bytes)
        bytes.append(0x5A)
    }

    private static func digits(_ value: Int, _ width: Int, to bytes: inout [UInt8]) {
        var divisor = width == 6 ? 100_000 : 10
        while divisor > 0 {
            bytes.append(UInt8(value / divisor % 10) + 0x30)
            divisor /= 10
        }
    }
}
