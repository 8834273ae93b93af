import Bars
import Foundation
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
        for length in [0, 3, 35, 36, 55, 56, bytes.count - 1] {
            #expect(throws: BarsError.self) { try DayChunk.decode(Array(bytes[0..<length])) }
        }
    }

    /// A day of three bars as version 1 wrote it, with an unknown volume and an unknown count of trades.
    @Test func aChunkOfVersionOneIsRead() throws {
        let text =
            "QVVEQwEAAAADAAAAcAAAAOoeu5oAwDs1Tz4FAIBNlzVPPgUABACAd2qefAoAgIQeAAASegAAgIQeAAAAAAACAarhAQAAAAAADgkCAbzhAQAAAAAADgkCAaLh"
            + "AQAAAAAADgkCAazhAQAAAAAADgkICKJ1GAAAAAAAXorn//////8piuf//////wEBBgAAAAAAAAAHCg=="
        let bytes = Array(try #require(Data(base64Encoded: text)))
        let header = try DayChunk.header(of: bytes)
        #expect(header.version == 1 && header.rows == 3 && header.firstStart == 1_475_884_800_000_000 && header.lastEnd == 1_475_884_806_000_000)
        let bars = try DayChunk.decode(bytes)
        #expect(bars.starts == [1_475_884_800_000_000, 1_475_884_801_000_000, 1_475_884_805_000_000])
        #expect(bars.ends == bars.starts.map { $0 + second })
        #expect((0..<3).map { bars.open.text(at: $0) } == ["616.53", "616.6", "616.55"])
        #expect((0..<3).map { bars.high.text(at: $0) } == ["616.62", "616.69", "616.64"])
        #expect((0..<3).map { bars.low.text(at: $0) } == ["616.49", "616.56", "616.51"])
        #expect((0..<3).map { bars.close.text(at: $0) } == ["616.54", "616.61", "616.56"])
        #expect((0..<3).map { bars.volume?.text(at: $0) } == ["0.00801489", nil, "0.00801515"])
        #expect(bars.trades == [3, -1, 4])
        #expect(try DayChunk.decode(DayChunk.encode(bars)) == bars)
        for index in 4..<bytes.count {
            var damaged = bytes
            damaged[index] ^= 0x41
            #expect(throws: BarsError.self) { try DayChunk.decode(damaged) }
        }
    }

    /// Numbers from all of 64 and of 32 bits, high prices below low ones, columns of several scales and kinds: whatever a vendor sends.
    @Test(arguments: [UInt64](1...40))
    func anyNumbersComeBackBitForBit(seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let count = Int.random(in: 1...300, using: &numbers)
        var at: Int64 = -5_000_000_000_000
        var starts: [Int64] = []
        for _ in 0..<count {
            at += Int64.random(in: 1...(seed % 2 == 0 ? 3 : 10_000_000), using: &numbers)
            starts.append(at)
        }
        func column(_ kind: UInt64) -> ScaledColumn {
            switch kind % 5 {
            case 0: ScaledColumn(.narrow((0..<count).map { _ in Int32.random(in: .min ... .max, using: &numbers) }, scale: 3))
            case 1: ScaledColumn(.integers((0..<count).map { _ in Int64.random(in: .min ... .max, using: &numbers) }, scale: 3))
            case 2: ScaledColumn(.floats((0..<count).map { _ in Double.random(in: -1e9...1e9, using: &numbers) }))
            case 3: ScaledColumn(.narrow((0..<count).map { _ in 25 * Int32.random(in: 4_000...4_100, using: &numbers) }, scale: 3))
            default:
                ScaledColumn(
                    integers: (0..<count).map { _ in
                        Bool.random(using: &numbers) ? ScaledColumn.missing : 100 * Int64.random(in: 0...90, using: &numbers)
                    },
                    scale: 0
                )
            }
        }
        let kinds = (0..<5).map { _ in seed % 3 == 0 ? UInt64.random(in: 0...3, using: &numbers) : seed % 4 }
        let volumeKind = UInt64.random(in: 0...4, using: &numbers)
        let series = try BarSeries(
            starts: starts,
            ends: starts.map { $0 + (seed % 4 == 0 ? 1 : Int64.random(in: 1...2, using: &numbers)) },
            open: column(kinds[0]),
            high: column(kinds[1]),
            low: column(kinds[2]),
            close: column(kinds[3]),
            volume: column(volumeKind),
            trades: seed % 2 == 0 ? (0..<count).map { _ in Int64.random(in: -1...9, using: &numbers) } : nil
        )
        let bytes = DayChunk.encode(series)
        let back = try DayChunk.decode(bytes)
        #expect(back == series)
        #expect(back.open.stride == series.open.stride && back.open.scale == series.open.scale)
        #expect(DayChunk.encode(back) == bytes)
    }

    @Test func theHeaderTellsTheRangeOfPrices() throws {
        #expect(try DayChunk.header(of: DayChunk.encode(series(40))).prices == 616.49...617.01)
        #expect(try DayChunk.header(of: DayChunk.encode(.empty)).prices == nil)
    }

    @Test func aLaterCodecIsNamed() throws {
        var bytes = DayChunk.encode(try series(3))
        bytes[4] = 9
        #expect(throws: BarsError.unknownCodecVersion(9)) { try DayChunk.decode(bytes) }
    }
}
