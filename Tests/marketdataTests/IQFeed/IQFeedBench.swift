import Bars
import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// The simulator, and what talks to it, on one loop and on a clock that stands still.
struct IQFeedBench: Sendable {
    let loop: EventLoop
    let time: ManualTimeSource
    let simulator: IQFeedSimulator
    let connector: IQFeedConnector
    let cpu: CPUPool

    /// Lends one; `versions` are those that the simulator speaks.
    static func with(
        versions: [String] = ["6.2", "6.1"],
        now: String = "2021-03-27T12:00:00Z",
        _ body: @escaping @Sendable (IQFeedBench) async throws -> Void
    ) async throws {
        try await withLoop { loop in
            let time = ManualTimeSource(at(now))
            let simulator = try await IQFeedSimulator.start(on: loop, versions: versions)
            var endpoints = IQFeedEndpoints()
            endpoints.ports = [
                .lookup: simulator.number(of: .lookup), .level1: simulator.number(of: .level1),
                .derivatives: simulator.number(of: .derivatives), .admin: simulator.number(of: .admin),
            ]
            let cpu = try CPUPool(threads: 1)
            let bench = IQFeedBench(
                loop: loop,
                time: time,
                simulator: simulator,
                connector: IQFeedConnector(endpoints: endpoints, loop: loop, time: time),
                cpu: cpu
            )
            defer { cpu.stop() }
            do { try await body(bench) } catch {
                await simulator.stop()
                throw error
            }
            await simulator.stop()
        }
    }

    /// A history client; `change` sets other limits.
    func lookup(_ change: (inout IQFeedLookupLimits) -> Void = { _ in }) -> IQFeedLookup {
        var limits = IQFeedLookupLimits()
        change(&limits)
        return IQFeedLookup(connector: connector, limits: limits, backoff: Backoff(first: .milliseconds(500), longest: .seconds(4)) { 0.5 })
    }

    func source(_ lookup: IQFeedLookup? = nil) throws -> IQFeedSource { try IQFeedSource(connector: connector, lookup: lookup, cpu: cpu) }

    /// Runs `body` while the clock is moved on for whoever sleeps for less than `limit`: pauses pass at once, deadlines never come.
    func passingPauses<Value: Sendable>(
        under limit: Duration = .seconds(4.5),
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> (value: Value, pauses: [Duration]) {
        while time.fellAsleep.pendingCount > 0 { _ = try await time.fellAsleep.next() }
        return try await time.passingPauses(where: { $0 < limit }, body)
    }
}

/// A made-up answer: one row a second from 09:30:00 in New York, the close counting up from `first`.
func iqfeedRows(_ count: Int, first: Int = 100) -> [UInt8] {
    var text = ""
    for index in 0..<count {
        let clock = "09:\(30 + index / 60):\(index % 60 < 10 ? "0" : "")\(index % 60)"
        text +=
            "2021-03-26 \(clock),\(first + index).50,\(first + index).00,\(first + index).25,\(first + index).40,\(1_000 + index),\(10 + index),0,\r\n"
    }
    return Array((text + "!ENDMSG!,\r\n").utf8)
}

func iqfeedCommand(_ symbol: String = "NEPT", seconds: Int = 1) throws -> IQFeedHistoryCommand {
    try IQFeedHistoryCommand(symbol: symbol, data: .intervals(seconds: seconds), extent: .between("20210326 000000", "20210327 000000"))
}
