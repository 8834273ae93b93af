import Contracts
import Messaging
import ServiceRuntime
import TestSupport
import Testing

@Suite(.enabled(if: TestServers.available)) struct WakeupTests {
    @Test func aHintReachesWhoAsksForItsClass() async throws {
        try await withLoop { loop in
            try await withVirtualHost { broker in
                let teller = try Wakeups(brokerURL: broker.url, service: "scheduler", loop: loop)
                let worker = try Wakeups(brokerURL: broker.url, service: "executor", loop: loop)
                try await running([teller, worker]) {
                    async let hint = worker.next(of: [.small, .signal], within: .seconds(60))
                    teller.hint(.gpu)
                    teller.hint(.signal)
                    #expect(await hint == .signal)
                    // What nobody asked for waits in its queue.
                    #expect(await worker.next(of: [.gpu], within: .seconds(60)) == .gpu)
                    #expect(await worker.next(of: [.small], within: .milliseconds(50)) == nil)
                    #expect(await worker.next(of: [], within: .seconds(10)) == nil)
                }
                #expect(await worker.next(of: [.small], within: .seconds(10)) == nil)
            }
        }
    }

    @Test func manyHintsOfOneMomentAreTwo() async throws {
        try await withLoop { loop in
            try await withVirtualHost { broker in
                let wakeups = try Wakeups(brokerURL: broker.url, service: "scheduler", loop: loop)
                try await running([wakeups]) {
                    // In one turn of the loop whose timer ends the 50 ms: they are one moment however slow the machine is.
                    loop.execute { for _ in 0..<500 { wakeups.hint(.standard) } }
                    #expect(await wakeups.next(of: [.standard], within: .seconds(60)) == .standard)
                    #expect(await wakeups.next(of: [.standard], within: .seconds(60)) == .standard)
                    #expect(await wakeups.next(of: [.standard], within: .milliseconds(300)) == nil)
                }
            }
        }
    }

    @Test func aQueueIsConsumedUntilAHintComesThatNobodyWaitsFor() async throws {
        try await withLoop { loop in
            try await withVirtualHost { broker in
                let consumed = {
                    let consumers = try WireJSON.parse(try await broker.manage("GET", "consumers/\(broker.virtualHost)"))
                    return consumers.array?.compactMap { $0["queue"]?["name"]?.string } ?? []
                }
                let teller = try Wakeups(brokerURL: broker.url, service: "scheduler", loop: loop)
                let full = try Wakeups(brokerURL: broker.url, service: "executor", loop: loop)
                let idle = try Wakeups(brokerURL: broker.url, service: "executor", loop: loop)
                try await running([teller, full, idle]) {
                    // Once connected it has heard of the queue; a worker of short jobs soon waits again, and need not say so.
                    teller.hint(.small)
                    #expect(await full.next(of: [.small], within: .seconds(60)) == .small)
                    #expect(await full.next(of: [.small], within: .milliseconds(20)) == nil)
                    try await eventually { try await consumed() == ["jobs.small"] }
                    teller.hint(.small)
                    try await eventually { try await consumed().isEmpty }
                    #expect(await idle.next(of: [.small], within: .seconds(60)) == .small)
                }
            }
        }
    }

    @Test func aHintIsHeardAfterTheConnectionWasKilled() async throws {
        try await withLoop { loop in
            try await withVirtualHost { broker in
                let wakeups = try Wakeups(brokerURL: broker.url, service: "scheduler", loop: loop)
                try await running([wakeups]) {
                    wakeups.hint(.large)
                    #expect(await wakeups.next(of: [.large], within: .seconds(60)) == .large)
                    async let hint = wakeups.next(of: [.large], within: .seconds(60))
                    try await broker.dropConnections()
                    let telling = Task(on: loop) {
                        while !Task.isCancelled {
                            wakeups.hint(.large)
                            try? await Task.sleep(for: .milliseconds(20))
                        }
                    }
                    #expect(await hint == .large)
                    telling.cancel()
                }
            }
        }
    }
}
