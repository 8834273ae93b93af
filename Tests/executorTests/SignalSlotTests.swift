import Contracts
import JobWorker
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

/// A worker with the slots of a real executor: what is long never has a signal's slot.
@Suite struct SignalSlotTests {
    /// Runs until it is let go, or cancelled.
    private final class LongHandler: JobHandler {
        let kinds = [JobKind.backtest.rawValue]
        let begun = TestSignal<AttemptID>()
        private let gates = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

        func open() {
            let waiting = gates.withLock { gates in
                defer { gates = (true, []) }
                return gates.waiting
            }
            for gate in waiting { gate.resume() }
        }

        func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult {
            begun.signal(job.attemptID)
            await withTaskCancellationHandler {
                await withCheckedContinuation { gate in
                    let pass = gates.withLock { gates in
                        if !gates.isOpen { gates.waiting.append(gate) }
                        return gates.isOpen
                    }
                    if pass { gate.resume() }
                }
            } onCancel: {
                open()
            }
            return .completed()
        }
    }

    @Test("Two long runs in all shared slots leave a due signal of their account its own") func longRunsMakeNoSignalWait() async throws {
        var settings = CapacitySettings()
        settings.slots = [.signal: .some(1), .standard: .some(2), .small: .some(0), .large: .some(0), .gpu: .some(0)]
        let resources = ResourceManager(plan: try CapacityPlan(settings: settings, machine: .plenty, gpus: 0))
        let platform = try await FakePlatform()
        let loops = try LoopGroup.start(count: 1)
        let long = LongHandler()
        let worker = JobWorker(
            worker: "executor-test",
            scheduler: platform.client("scheduler"),
            slots: resources,
            handlers: [long, NoopHandler()],
            wakeups: platform,
            control: loops.control,
            loops: loops.serving,
            grace: .milliseconds(100)
        )
        let account = AccountID.make()
        let attempts = (0..<3).map { _ in platform.enqueue(.backtest, class: .standard, account: account) }
        try await worker.start()
        do {
            var running: Set<AttemptID> = []
            for _ in 0..<2 { running.insert(try await long.begun.next(timeout: .seconds(60))) }
            #expect(running == Set(attempts.prefix(2)))
            let held: [ResourceClass: Int] = [.standard: 2]
            #expect(resources.room(beside: held) == [.signal: 1], "all shared slots are taken")
            // Signals that become due one after the other, each of which finds the slot free while the long ones run.
            for _ in 0..<3 {
                let signal = platform.enqueue(.noop, class: .signal, account: account)
                let finished = try await eventuallyValue(timeout: .seconds(60)) { platform.read { $0.finished.first { $0.attemptID == signal } } }
                #expect(finished.outcome == .completed)
            }
            #expect(platform.read { $0.finished.count } == 3 && platform.read { $0.waiting.map(\.attemptID) } == [attempts[2]])
            // The third of the long ones gets the place of the first that ends.
            long.open()
            #expect(try await long.begun.next(timeout: .seconds(60)) == attempts[2])
        } catch {
            await worker.stop()
            await platform.stop()
            await loops.stop()
            throw error
        }
        await worker.stop()
        await platform.stop()
        await loops.stop()
    }
}
