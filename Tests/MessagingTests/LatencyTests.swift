import Contracts
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite(.enabled(if: TestServers.available), .serialized) struct LatencyTests {
    @Test func anEventIsHandledWithoutWaitingForASweep() async throws {
        try await withMessaging { fixture in
            let handled = TestSignal<UInt64>()
            let consumer = try fixture.consumer { _, _ in
                handled.signal(SystemTimeSource().monotonicNanoseconds())
                return .done
            }
            // A poke that is lost is not made good by a sweep.
            try await running([consumer, fixture.relay(sweepInterval: .seconds(600))]) {
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
            }
        }
    }

    @Test func aBacklogIsWorkedOffInWindowsAndNotOneByOne() async throws {
        try await withMessaging { fixture in
            let tally = Tally()
            let consumer = try fixture.consumer { _, _ in
                tally.add("handled")
                return .done
            }
            try await fixture.pool.withTransaction { connection in
                for value in 0..<2_000 {
                    try await fixture.outbox.append(ThingChanged(thing: "t\(value % 50)", value: value), subjectVersion: 1, on: connection)
                }
            }
            try await running([consumer]) {
                // A queue must be there first, or the first window comes back.
                try await eventually("the queue") { try await fixture.broker.messages(in: MessagingFixture.queue) != nil }
                let start = SystemTimeSource().monotonicNanoseconds()
                // One sweep an event would take hours.
                try await running([fixture.relay(sweepInterval: .seconds(5))]) {
                    try await eventually(timeout: .seconds(120), "all marks") {
                        try await fixture.count("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0
                    }
                    let published = SystemTimeSource().monotonicNanoseconds()
                    try await eventually(timeout: .seconds(120), "all handled") { tally["handled"] == 2_000 }
                    let handled = SystemTimeSource().monotonicNanoseconds()
                    let rates = [published, handled].map { Int(2_000 / (Double($0 - start) / 1e9)) }
                    print("backlog of 2000 events: append to confirm \(rates[0]) events/s, to handled \(rates[1]) events/s")
                }
            }
        }
    }
}
