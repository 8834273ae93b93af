import Bars
import Foundation
import Testing

/// A day as a feed told it: nothing of it is lost, and at no moment does it show more than was known.
@Suite("Live day") struct LiveDayTests {
    private static let midnight: Int64 = 1_475_884_800_000_000

    /// A log of closes, markers and late versions in the order in which they became known.
    private func log(_ numbers: inout SeededNumbers, rows count: Int) -> [LiveDay.Row] {
        var log: [LiveDay.Row] = []
        var versions: [Int64: Int] = [:]
        var moment = Self.midnight
        var next: Int64 = 0
        for _ in 0..<count {
            moment += Int64(numbers.next() % 3) * 400_000 + 1
            var second = next
            if next > 0, numbers.next() % 4 == 0 { second = Int64(numbers.next() % UInt64(next)) } else { next += 1 }
            let start = Self.midnight + second * 1_000_000
            let price = Int64(numbers.next() % 100_000)
            let isMarker = versions[start] == nil && numbers.next() % 5 == 0
            let amount: DecimalNumber? = numbers.next() % 7 == 0 ? nil : .exact(mantissa: Int64(numbers.next() % 9_999_999_999), scale: 8)
            let isFloat = numbers.next() % 40 == 0
            let close: DecimalNumber = isFloat ? .float(Double(price) + 0.123456789012345) : .exact(mantissa: price, scale: 2)
            let prices = LiveDay.Row.Prices(
                open: .exact(mantissa: price, scale: 2),
                high: .exact(mantissa: price + 100, scale: 2),
                low: .exact(mantissa: price - 100, scale: 2),
                close: close,
                volume: amount,
                trades: price % 3 == 0 ? nil : price
            )
            moment = max(moment, start + 1_000_000)
            log.append(
                LiveDay.Row(start: start, end: start + 1_000_000, version: versions[start] ?? 0, knownAt: moment, prices: isMarker ? nil : prices)
            )
            versions[start, default: 0] += 1
        }
        return log
    }

    @Test func everyInstantHasTheMomentThatVouchesForIt() throws {
        var numbers = SeededNumbers(seed: 11)
        let log = log(&numbers, rows: 300)
        var day = LiveDay()
        // As a tail comes: in pieces.
        for start in stride(from: 0, to: log.count, by: 70) { try day.add(Array(log[start..<min(start + 70, log.count)])) }
        let instants = (0...310).map { Self.midnight + $0 * 1_000_000 }
        let naive = instants.map { instant in log.filter { $0.end >= instant }.map(\.knownAt).min() }
        #expect(day.moments(through: instants) == naive)
        #expect(naive.contains(nil) && Set(naive).count > 50)
        // What history vouches for is known at its own end.
        let settled = LiveDay(settledThrough: instants[5])
        #expect(settled.moments(through: Array(instants[4...6])) == [instants[4], instants[5], nil])
    }

    /// What a log says at a moment, told row by row.
    private func naive(_ log: [LiveDay.Row], recordedBy: Int64, cut: Int64) -> (lines: [String], rows: Int, revisions: Int, through: Int64) {
        var current: [Int64: LiveDay.Row] = [:]
        var (rows, through) = (0, Int64.min)
        var changes: Set<Int64> = []
        for row in log where row.knownAt <= recordedBy && row.end <= cut {
            rows += 1
            through = max(through, row.end)
            guard row.prices != nil else { continue }
            if current[row.start] != nil || row.version > 0 { changes.insert(row.knownAt) }
            current[row.start] = row
        }
        let lines = current.values.sorted { $0.start < $1.start }.map { row in
            "\(row.start) \(row.prices!.close.double) \(row.prices!.volume.map { "\($0.double)" } ?? "nan") \(row.prices!.trades ?? -1)"
        }
        return (lines, rows, changes.count, through)
    }

    private func lines(_ bars: BarSeries) -> [String] {
        (0..<bars.count).map { row in
            "\(bars.starts[row]) \(bars.close.double(at: row)) \(bars.volume.map { "\($0.double(at: row))" } ?? "nan") \(bars.trades?[row] ?? -1)"
        }
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64]) func everyMomentIsThatOfTheLog(seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let log = log(&numbers, rows: 160)
        var whole = LiveDay()
        try whole.add(log)
        // In pieces, as by sealing a few times: the same day.
        var pieces = LiveDay()
        var at = 0
        while at < log.count {
            var end = min(log.count, at + 1 + Int(numbers.next() % 40))
            while end < log.count, log[end].knownAt == log[end - 1].knownAt { end += 1 }
            try pieces.add(Array(log[at..<end]))
            at = end
            pieces = try LiveDay(decoding: pieces.encoded())
        }
        #expect(pieces == whole)
        #expect(pieces.rowCount == log.count)
        for row in log {
            for (recordedBy, cut) in [(row.knownAt, row.knownAt), (row.knownAt - 1, Int64.max), (Int64.max, row.end), (row.knownAt, row.end - 1)] {
                let known = PointInTime.known(pieces, recordedBy: recordedBy, cut: cut)
                let expected = naive(log, recordedBy: recordedBy, cut: cut)
                #expect(lines(known.bars) == expected.lines)
                #expect(known.rows == expected.rows)
                #expect(known.revisions == expected.revisions)
                #expect(known.through == expected.through)
            }
        }
    }

    @Test(arguments: [11, 12, 13, 14, 15, 16] as [UInt64]) func comesBackAsItWas(seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        var day = LiveDay(settledThrough: Self.midnight)
        try day.add(log(&numbers, rows: Int(numbers.next() % 300)))
        let bytes = day.encoded()
        #expect(LiveDay.isLive(bytes))
        #expect(try LiveDay(decoding: bytes) == day)
        #expect(try LiveDay(decoding: bytes).encoded() == bytes)
        #expect(try StoredDay(decoding: bytes) == .live(day))
        #expect(try StoredDay(decoding: DayChunk.encode(day.base)) == .history(day.base))
        let empty = LiveDay()
        #expect(try LiveDay(decoding: empty.encoded()) == empty)
    }

    @Test func damageIsNamed() throws {
        var numbers = SeededNumbers(seed: 21)
        var day = LiveDay()
        try day.add(log(&numbers, rows: 50))
        let bytes = day.encoded()
        for place in stride(from: 0, to: bytes.count, by: 3) {
            var damaged = bytes
            damaged[place] ^= 0x41
            #expect(throws: BarsError.self) { try StoredDay(decoding: damaged) }
        }
        for length in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: BarsError.self) { try LiveDay(decoding: Array(bytes[..<length])) }
        }
        var later = bytes
        later[4] = 9
        #expect(throws: BarsError.unknownCodecVersion(9)) { try LiveDay(decoding: later) }
        var spoiled = bytes
        spoiled[bytes.count - 1] ^= 1
        #expect(throws: BarsError.damagedChunk(reason: "the checksum of the live day does not match")) { try LiveDay(decoding: spoiled) }
    }

    @Test func anImportStandsForItsStretch() throws {
        var numbers = SeededNumbers(seed: 31)
        let log = log(&numbers, rows: 60)
        var day = LiveDay()
        try day.add(log)
        var builder = BarSeriesBuilder()
        let one = DecimalNumber.exact(mantissa: 1, scale: 0)
        let start = Self.midnight + 5_000_000
        builder.append(start: start, end: start + 1_000_000, open: one, high: one, low: one, close: one, volume: nil)
        let stretch = Self.midnight + 3_000_000..<Self.midnight + 9_000_000
        let imported = try day.replaced(by: try builder.finish(), in: stretch, settledThrough: stretch.upperBound)
        let before = PointInTime.known(day, recordedBy: .max, cut: .max).bars
        let after = PointInTime.known(imported, recordedBy: .max, cut: .max).bars
        #expect(lines(after).filter { !lines(before).contains($0) }.count == 1)
        #expect(after.starts.filter { stretch.contains($0) } == [start])
        #expect(after.starts.filter { !stretch.contains($0) } == before.starts.filter { !stretch.contains($0) })
        // What comes afterwards goes before it again.
        var later = imported
        let prices = LiveDay.Row.Prices(open: one, high: one, low: one, close: .exact(mantissa: 9, scale: 1), volume: nil, trades: nil)
        let moment = Self.midnight + 3_600_000_000
        try later.add([LiveDay.Row(start: start, end: start + 1_000_000, version: 1, knownAt: moment, prices: prices)])
        #expect(PointInTime.known(later, recordedBy: moment - 1, cut: .max).bars == after)
        #expect(lines(PointInTime.known(later, recordedBy: moment, cut: .max).bars).contains("\(start) 0.9 nan -1"))
        #expect(PointInTime.known(later, recordedBy: moment, cut: .max).revisions == 1)
    }
}
