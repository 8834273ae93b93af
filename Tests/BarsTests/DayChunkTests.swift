import Bars
import Testing

@Suite struct DayChunkTests {
    private func series(_ rows: Int, volume: Bool = true, float: Bool = false) throws -> BarSeries {
        var builder = BarSeriesBuilder()
        for row in 0..<rows {
            let base = Int64(61_653 + row * 7 % 40)
            let start = 1_475_884_800_000_000 + Int64(row * row % 3 + row * 5) * 1_000_000
            let amount: DecimalNumber? = volume && row % 5 != 2 ? (float ? .float(0.1 * Double(row)) : .exact(mantissa: base * 13, scale: 8)) : nil
            builder.append(
                start: start,
                end: start + 1_000_000,
                open: .exact(mantissa: base, scale: 2),
                high: .exact(mantissa: base + 9, scale: 2),
                low: .exact(mantissa: base - 4, scale: 2),
                close: .exact(mantissa: base + 1, scale: 2),
                volume: amount,
                trades: row % 7 == 0 ? nil : 3
            )
        }
        return try builder.finish()
    }

    @Test(arguments: [0, 1, 2, 17, 4_063])
    func comesBackAsItWas(rows: Int) throws {
        for (volume, float) in [(true, false), (false, false), (true, true)] {
            let made = try series(rows, volume: volume, float: float)
            let bytes = DayChunk.encode(made)
            #expect(try DayChunk.decode(bytes) == made)
            #expect(DayChunk.encode(try DayChunk.decode(bytes)) == bytes)
            let header = try DayChunk.header(of: bytes)
            #expect(header.rows == rows)
            #expect(header.firstStart == made.starts.first ?? 0)
            #expect(header.lastEnd == made.ends.last ?? 0)
        }
    }

    @Test func aDayOfSecondsIsSmall() throws { #expect(DayChunk.encode(try series(4_063)).count < 4_063 * 8) }

    @Test func everyDamagedByteIsNoticed() throws {
        let bytes = DayChunk.encode(try series(60))
        for index in 0..<bytes.count {
            var damaged = bytes
            damaged[index] ^= 0x41
            #expect(throws: BarsError.self) { try DayChunk.decode(damaged) }
        }
        for length in [0, 3, 35, 36, bytes.count - 1] {
            #expect(throws: BarsError.self) { try DayChunk.decode(Array(bytes[0..<length])) }
        }
    }

    @Test func aLaterCodecIsNamed() throws {
        var bytes = DayChunk.encode(try series(3))
        bytes[4] = 9
        #expect(throws: BarsError.unknownCodecVersion(9)) { try DayChunk.decode(bytes) }
    }
}
