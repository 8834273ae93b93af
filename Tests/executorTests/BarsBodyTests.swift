import Contracts
import Glibc
import Testing

@testable import executor

/// Bars go to the sandbox as they came, once they are what they say.
@Suite struct BarsBodyTests {
    @Test func theLastBarIsRead() throws {
        let body = try SandboxFixture.series(rows: 3).bars
        #expect(body.count == 3)
        #expect(body.lastClose?.text == "600.5")
        #expect(body.lastEnd == SandboxFixture.asOf)
        let none = try SandboxFixture.series(rows: 0).bars
        #expect(none.count == 0 && none.lastClose == nil && none.lastEnd == nil)
    }

    @Test func bytesThatAreSomethingElseAreRefused() throws {
        let right = try SandboxFixture.series(rows: 3).bars.bytes
        var wrong: [[UInt8]] = [[], Array("AUSB".utf8), Array(right.dropLast()), right + [0]]
        for (offset, value) in [(0, 88), (4, 2), (8, 4), (15, 255), (28, 65), (31, 255)] as [(Int, UInt8)] {
            var changed = right
            changed[offset] = value
            wrong.append(changed)
        }
        for bytes in wrong { #expect(throws: BarsBody.Malformed.self) { try BarsBody(bytes) } }
    }

    @Test func theFrameIsReadByTheSDK() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let app = """
            import math
            from auspex import Prediction
            def predict(context):
                bars = context.bars("BTCUSD")
                assert len(bars) == 200 and bars.time[0] == context.as_of_microseconds - 200 * 15000000
                assert bars.open[0] == 600.0 and bars.high[0] == 601.0 and bars.low[0] == 599.0 and bars.close[199] == 649.75
                assert sum(bars.volume) == 500.0
                assert context.instruments == ["BTCUSD"]
                try: bars.close[0] = 1.0
                except (TypeError, ValueError): pass
                else: raise AssertionError("the input can be written")
                try: context.bars("ETHUSD")
                except KeyError as error: assert "BTCUSD 15s" in str(error)
                return Prediction(0)
            """
        let (verdict, outcome) = try await fixture.run(app)
        #expect(verdict.values == ["0"], "\(verdict) \(outcome.log.text)")
    }

    @Test func anUnknownVolumeIsNotZero() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let program = """
            import sys; sys.path.insert(0, "/sdk")
            import math, mmap, os
            from auspex import _frame
            header, bars = _frame.decode(mmap.mmap(4, 0, prot=mmap.PROT_READ))
            assert [len(one) for one in bars] == [5, 3] and bars[1].instrument == "BTCUSD"
            assert all(math.isnan(value) for value in bars[0].volume) and list(bars[1].volume) == [2.5] * 3
            assert bars[0].close[4] == 601.0 and bars[1].close[2] == 600.5
            os.write(3, header["note"].encode())
            """
        let frame = try InputFrame(
            header: ["note": "read"],
            series: [try SandboxFixture.series(rows: 5, hasVolume: false), try SandboxFixture.series(rows: 3)]
        )
        let command = SandboxCommand(
            arguments: ["/usr/bin/python3", "-ISBc", program],
            mounts: [SandboxMount(source: fixture.runtime.folder, target: "/sdk")],
            input: frame,
            limits: .of(.small, wallTime: .seconds(10))
        )
        let outcome = try await fixture.sandbox.run(command)
        #expect(String(decoding: outcome.result, as: UTF8.self) == "read", "\(outcome.log.text)")
    }
}
