import Bars

/// Times of rows, most of which share their date with the row before.
struct PlainTimes {
    /// The date that was read last, as its ten characters and as microseconds.
    private var date: (UInt64, UInt16) = (0, 0)
    private var midnight: Int64 = 0
    private(set) var isDateOnly = true

    /// `YYYY-MM-DD HH:MM:SS` with the date of the row before; everything else as `TimeText` has it.
    @inline(__always)
    mutating func microseconds(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
        if text.count == 19, let start = text.baseAddress {
            let raw = UnsafeRawPointer(start)
            let same = raw.loadUnaligned(as: UInt64.self) == date.0 && raw.loadUnaligned(fromByteOffset: 8, as: UInt16.self) == date.1
            if same, text[10] == 0x20 || text[10] == 0x54, text[13] == 0x3A, text[16] == 0x3A {
                let (hour, minute, second) = (two(text, 11), two(text, 14), two(text, 17))
                if hour < 24, minute < 60, second < 60 { return midnight + (hour * 3_600 + minute * 60 + second) * 1_000_000 }
            }
        }
        guard let stamp = TimeText.parse(text) else { return nil }
        isDateOnly = isDateOnly && stamp.isDateOnly
        if text.count == 19, text[4] == 0x2D, let start = text.baseAddress {
            let raw = UnsafeRawPointer(start)
            date = (raw.loadUnaligned(as: UInt64.self), raw.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
            midnight = floorDivide(stamp.microseconds, 86_400_000_000) * 86_400_000_000
        }
        return stamp.microseconds
    }

    /// Two digits, or a number above 99.
    @inline(__always)
    private func two(_ text: UnsafeBufferPointer<UInt8>, _ at: Int) -> Int64 {
        let (tens, ones) = (text[at] &- 0x30, text[at + 1] &- 0x30)
        return tens < 10 && ones < 10 ? Int64(tens) * 10 + Int64(ones) : 100
    }
}
