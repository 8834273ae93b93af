import Contracts
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite(.enabled(if: TestServers.available), .serialized) struct LatencyTests {
    @Test func anEventIsHandledWithinMillisecondsOfItsCommit() async throws {
        try await withMessaging { fixture in
            let handled = TestSignal<UInt64>()
            let consumer = try fixture.consumer { _, _ in
                handled.signal(SystemTimeSource().monotonicNanoseconds())
                return .done
            }
            try await running([consumer, fixture.relay()]) {
                try await fixture.say("warm", 0)
                _ = try await handled.next()
                var milliseconds: [Double] = []
                for value in 0..<200 {
                    let start = SystemTimeSource().monotonicNanoseconds()
                    try await fixture.say("thing", value)
                    milliseconds.append(Double(try await handled.next() - start) / 1e6)
                }
                milliseconds.sort()
                print(
                    "append to handler, 200 events one at a time: p50 \(milliseconds[100]) ms, p95 \(milliseconds[190]) ms, worst \(milliseconds[199]) ms"
                )
                // The promise is 5 ms on a quiet machine; tests share theirs with a build, so this only catches a poke that is lost (200 ms).
                #expect(milliseconds[100] < 60)
            }
        }
    }
}
