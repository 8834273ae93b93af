import Contracts
import Messaging
import ServiceRuntime
import TestSupport
import Testing

@testable import JobWorker

@Suite(.enabled(if: TestServers.hasBroker)) struct BrokerHintTests {
    @Test func aWorkerHearsHintsThroughTheBroker() async throws {
        try await withVirtualHost { broker in
            let wakeups = try Wakeups(brokerURL: broker.url, service: "executor", loop: TestLoop.shared)
            try await wakeups.start()
            let source: any WakeupSource = wakeups
            wakeups.hint(.small)
            #expect(await source.next(of: [.small], within: .seconds(60)) == .small)
            await wakeups.stop()
        }
    }
}
