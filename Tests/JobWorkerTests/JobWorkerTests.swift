import Contracts
import HTTPServing
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import JobWorker

/// A worker against a scheduler that speaks real HTTP.
@Suite(.serialized) struct JobWorkerTests {
    /// Waits until it is told to go on or cancelled.
    private final class GatedHandler: JobHandler {
        let kinds = ["noop"]
        let begun = TestSignal<AttemptID>()
        let ended = TestSignal<JobInterruption.Reason?>()
        private let gates = Mutex<[CheckedContinuation<Void, Never>]>([])
        private let isOpen = Mutex(false)
        let result: JobResult

        init(result: JobResult = .completed(["done": true])) { self.result = result }

        func open() {
            isOpen.withLock { $0 = true }
            for gate in gates.withLock({ gates in
                defer { gates = [] }; return gates
            }) { gate.resume() }
        }

        func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult {
            reporter.progress(40)
            begun.signal(job.attemptID)
            await withTaskCancellationHandler {
                await withCheckedContinuation { gate in
                    let pass = isOpen.withLock { $0 } || Task.isCancelled
                    if pass { gate.resume() } else { gates.withLock { $0.append(gate) } }
                }
            } onCancel: {
                for gate in gates.withLock({ gates in
                    defer { gates = [] }; return gates
                }) { gate.resume() }
            }
            ended.signal(JobInterruption.current?.reason)
            return result
        }
    }

    private final class Hints: WakeupSource {
        private let waiting = Mutex<(classes: [ResourceClass], signal: TestSignal<ResourceClass>)?>(nil)
        private let count = Mutex(0)
        var listening: [ResourceClass] { waiting.withLock { $0?.classes ?? [] } }
        /// How often somebody began to listen.
        var times: Int { count.withLock { $0 } }

        func next(of classes: [ResourceClass], within limit: Duration) async -> ResourceClass? {
            let signal = TestSignal<ResourceClass>()
            count.withLock { $0 += 1 }
            waiting.withLock { $0 = (classes, signal) }
            // Only a hint or the worker's end ends the waiting, no time-out.
            let hint = try? await signal.next(timeout: .seconds(3600))
            waiting.withLock { if $0?.signal === signal { $0 = nil } }
            return hint
        }

        func hint(_ resourceClass: ResourceClass = .small) { waiting.withLock { $0?.signal.signal(resourceClass) } }
    }

    /// The loops of the worker under test.
    private final class Loops: Sendable {
        let current = Mutex<LoopGroup?>(nil)

        /// Returns when what was begun on them before has run, and what that began in turn.
        func settle() async throws {
            guard let loops = current.withLock({ $0 }) else { return }
            for _ in 0..<3 { for loop in [loops.control] + loops.serving { try await loop.run {} } }
        }
    }

    private let loops = Loops()

    private func withWorker(
        slots: [ResourceClass: Int] = [.small: 2],
        source: (any SlotSource)? = nil,
        handler: any JobHandler,
        wakeups: (any WakeupSource)? = nil,
        time: any TimeSource = SystemTimeSource(),
        jobs: [ClaimedJob] = [],
        before: (FakeScheduler) -> Void = { _ in },
        _ body: (FakeScheduler, JobWorker) async throws -> Void
    ) async throws {
        let scheduler = try await FakeScheduler()
        scheduler.change { $0.waiting = jobs }
        before(scheduler)
        let loops = try LoopGroup.start(count: 1)
        self.loops.current.withLock { $0 = loops }
        let worker = JobWorker(
            worker: "test",
            scheduler: scheduler.client,
            slots: source ?? FixedSlots(slots),
            handlers: [handler],
            wakeups: wakeups,
            timeSource: time,
            control: loops.control,
            loops: loops.serving,
            grace: .milliseconds(200)
        )
        try await worker.start()
        do {
            try await body(scheduler, worker)
        } catch {
            await worker.stop()
            throw error
        }
        await worker.stop()
        await scheduler.stop()
        await loops.stop()
    }

    @Test func jobsAreDoneOnceEachByFreeSlots() async throws {
        let jobs = (0..<25).map { _ in ClaimedJob.sample() }
        let handler = GatedHandler()
        handler.open()
        try await withWorker(handler: handler, jobs: jobs) { scheduler, _ in
            try await eventually { scheduler.read { $0.finished.count } == 25 }
            #expect(Set(scheduler.read { $0.finished.map(\.attemptID) }) == Set(jobs.map(\.attemptID)))
            #expect(scheduler.read { $0.finished.allSatisfy { $0.outcome == .completed && $0.result == ["done": true] } })
        }
    }

    @Test func noMoreThanTheSlotsRunAtOnce() async throws {
        let handler = GatedHandler()
        try await withWorker(handler: handler, jobs: (0..<5).map { _ in .sample() }) { scheduler, _ in
            _ = try await handler.begun.next()
            _ = try await handler.begun.next()
            #expect(scheduler.read { $0.waiting.count } == 3)
            handler.open()
            try await eventually { scheduler.read { $0.finished.count } == 5 }
        }
    }

    @Test func aLostClaimAnswerLosesNoJob() async throws {
        let jobs = [ClaimedJob.sample(), .sample()]
        let handler = GatedHandler()
        handler.open()
        try await withWorker(handler: handler, jobs: jobs, before: { $0.change { $0.loseClaimAnswers = 2 } }) { scheduler, _ in
            try await eventually { scheduler.read { $0.finished.count } == 2 }
            let requests = scheduler.read { $0.claimRequests }
            #expect(requests.count >= 3 && Set(requests.prefix(3)).count == 1, "the same claim again")
        }
    }

    @Test func aHintBringsAJobAtOnceAndAFullWorkerDoesNotListen() async throws {
        let hints = Hints()
        let handler = GatedHandler()
        try await withWorker(slots: [.small: 1], handler: handler, wakeups: hints) { scheduler, _ in
            try await eventually { scheduler.read { $0.claimRequests.count } >= 1 }
            scheduler.change { $0.waiting = [.sample()] }
            try await eventually { hints.listening == [.small] }
            hints.hint()
            _ = try await handler.begun.next()
            try await eventually { hints.listening == [] }
            handler.open()
            try await eventually { hints.listening == [.small] }
            try await eventually { scheduler.read { $0.finished.count } == 1 }
        }
        #expect(hints.listening == [])
    }

    @Test func aWorkerThatIsFilledAgainAndAgainListensWhenThatIsOver() async throws {
        let hints = Hints()
        let handler = GatedHandler()
        handler.open()
        try await withWorker(slots: [.small: 8], handler: handler, wakeups: hints, jobs: (0..<80).map { _ in .sample() }) { scheduler, _ in
            try await eventually { scheduler.read { $0.finished.count } == 80 }
            try await eventually { hints.listening == [.small] }
            // Before the first claim, and after the last.
            #expect(hints.times <= 2)
        }
    }

    /// Room for eight, of which each claim asks for another class's.
    private final class Turns: SlotSource {
        let slots: [ResourceClass: Int] = [.small: 8, .standard: 8]
        private let claims = Mutex(0)

        func room(beside held: [ResourceClass: Int]) -> [ResourceClass: Int] {
            let free = 8 - held.values.reduce(0, +)
            return free > 0 ? [.small: free, .standard: free] : [:]
        }

        func claim(beside held: [ResourceClass: Int], without exhausted: Set<ResourceClass>) -> [ResourceClass: Int] {
            let room = room(beside: held)
            if room.isEmpty { return [:] }
            let asked: ResourceClass = claims.withLock { claims in
                claims += 1
                return claims == 1 ? .small : .standard
            }
            return [asked: room[asked] ?? 0]
        }

        func hasMoreToAsk(beside held: [ResourceClass: Int]) -> Bool { false }
        func changed(held: [ResourceClass: Int], asked: [ResourceClass: Int]) {}
        func whenRoomIsFreed(_ tell: @escaping @Sendable () -> Void) {}
    }

    @Test func aClassThatStoodBackIsListenedToAgain() async throws {
        let hints = Hints()
        let handler = GatedHandler()
        handler.open()
        try await withWorker(source: Turns(), handler: handler, wakeups: hints, jobs: (0..<8).map { _ in .sample() }) { scheduler, _ in
            try await eventually { scheduler.read { $0.finished.count } == 8 }
            // The last claim asked for the other class.
            try await eventually { Set(hints.listening) == [.small, .standard] }
        }
    }

    @Test("Amid a backlog nobody asks for a class that had nothing, until there is a hint of it")
    func aBacklogIsWorkedOffWithoutLooksInVain() async throws {
        let hints = Hints()
        let handler = GatedHandler()
        // The clock stands still: no look but those that a hint or an end brings.
        let time = ManualTimeSource()
        let slots: [ResourceClass: Int] = [.small: 8, .standard: 2]
        try await withWorker(slots: slots, handler: handler, wakeups: hints, time: time, jobs: (0..<80).map { _ in .sample() }) { scheduler, _ in
            for _ in 0..<8 { _ = try await handler.begun.next() }
            try await eventually { hints.listening == [.standard] }
            handler.open()
            try await eventually { scheduler.read { $0.finished.count } == 80 }
            let amid = scheduler.read { $0.asked }.dropFirst().filter { $0.left > 0 }
            #expect(!amid.isEmpty && amid.allSatisfy { $0.classes == [.small] }, "\(amid)")
        }
    }

    @Test func aHintAmidABacklogIsHeard() async throws {
        let hints = Hints()
        let handler = GatedHandler()
        let slots: [ResourceClass: Int] = [.small: 8, .standard: 2]
        try await withWorker(slots: slots, handler: handler, wakeups: hints, time: ManualTimeSource(), jobs: (0..<9).map { _ in .sample() }) {
            scheduler,
            _ in
            for _ in 0..<8 { _ = try await handler.begun.next() }
            try await eventually { hints.listening == [.standard] }
            let other = ClaimedJob.sample(class: .standard)
            scheduler.change { $0.waiting.append(other) }
            hints.hint(.standard)
            #expect(try await handler.begun.next() == other.attemptID)
            handler.open()
            try await eventually { scheduler.read { $0.finished.count } == 10 }
        }
    }

    /// Eight slots, which somebody else may take away and give back.
    private final class Shutter: SlotSource {
        let slots: [ResourceClass: Int] = [.small: 8]
        private let isShut = Mutex(false)
        private let tell = Mutex<(@Sendable () -> Void)?>(nil)

        func room(beside held: [ResourceClass: Int]) -> [ResourceClass: Int] {
            let free = 8 - (held[.small] ?? 0)
            return isShut.withLock { $0 } || free == 0 ? [:] : [.small: free]
        }

        func claim(beside held: [ResourceClass: Int], without exhausted: Set<ResourceClass>) -> [ResourceClass: Int] { room(beside: held) }
        func hasMoreToAsk(beside held: [ResourceClass: Int]) -> Bool { false }
        func changed(held: [ResourceClass: Int], asked: [ResourceClass: Int]) {}
        func whenRoomIsFreed(_ tell: @escaping @Sendable () -> Void) { self.tell.withLock { $0 = tell } }

        func shut() { isShut.withLock { $0 = true } }
        func open() {
            isShut.withLock { $0 = false }
            tell.withLock { $0 }?()
        }
    }

    @Test func roomThatIsGivenBackIsClaimedAtOnce() async throws {
        let (hints, handler, shutter) = (Hints(), GatedHandler(), Shutter())
        let jobs = (0..<16).map { _ in ClaimedJob.sample() }
        try await withWorker(source: shutter, handler: handler, wakeups: hints, time: ManualTimeSource(), jobs: jobs) { scheduler, _ in
            for _ in 0..<8 { _ = try await handler.begun.next() }
            shutter.shut()
            handler.open()
            try await eventually { scheduler.read { $0.finished.count } == 8 }
            #expect(hints.listening.isEmpty, "nobody would hear of what waits")
            shutter.open()
            try await eventually { scheduler.read { $0.finished.count } == 16 }
        }
    }

    @Test func resultsOutliveASchedulerThatIsAway() async throws {
        let handler = GatedHandler()
        try await withWorker(handler: handler, jobs: [.sample()]) { scheduler, _ in
            _ = try await handler.begun.next()
            scheduler.change { $0.isAway = true }
            handler.open()
            _ = try await handler.ended.next()
            scheduler.change { $0.isAway = false }
            try await eventually { scheduler.read { $0.finished.count } == 1 }
        }
    }

    @Test func aCancelReachesTheHandlerAndIsFinished() async throws {
        let time = ManualTimeSource()
        let handler = GatedHandler(result: .failed(.infra, "cancelled"))
        try await withWorker(handler: handler, time: time, jobs: [.sample()]) { scheduler, _ in
            let attempt = try await handler.begun.next()
            scheduler.change { $0.standings[attempt] = .cancelRequested }
            try await advance(time, by: .seconds(14)) { handler.ended.pendingCount == 0 }
            #expect(try await handler.ended.next() == .cancelRequested)
            try await eventually { scheduler.read { $0.finished.count } == 1 }
            #expect(scheduler.read { $0.renewals.first?.progress } == 40)
        }
    }

    /// Prints what it is told to.
    private final class PrintingHandler: JobHandler {
        let kinds = ["noop"]
        let reporters = TestSignal<JobReporter>()
        let end = TestSignal<Void>()

        func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult {
            reporters.signal(reporter)
            try? await end.next(timeout: .seconds(3600))
            return .completed()
        }
    }

    @Test("What jobs print travels with renewals: once a second for all of them, again when it was lost, and without news as seldom as ever")
    func logsTravelWithRenewals() async throws {
        let time = ManualTimeSource()
        let handler = PrintingHandler()
        try await withWorker(slots: [.small: 2], handler: handler, time: time, jobs: [.sample(), .sample()]) { scheduler, _ in
            let reporters = [try await handler.reporters.next(), try await handler.reporters.next()]
            for reporter in reporters { reporter.log("one\n") }
            scheduler.change { $0.isAway = true }
            try await advance(time, by: .seconds(2))
            scheduler.change { $0.isAway = false }
            try await advance(time, by: .seconds(12)) { scheduler.read { $0.renewals.filter { $0.log != nil }.count } < 2 }
            #expect(scheduler.read { $0.renewals.compactMap(\.log) } == Array(repeating: LogChunk(offset: 0, text: "one\n"), count: 2))
            let start = time.monotonicNanoseconds()
            let silent = scheduler.read { $0.renewals.count { $0.log == nil } }
            for round in 0..<8 {
                reporters[0].log("\(round)")
                try await advance(time, by: .milliseconds(500))
            }
            try await advance(time, by: .seconds(4)) { scheduler.read { $0.renewals.compactMap(\.log).map(\.text).joined() } != "one\none\n01234567" }
            let seconds = Int((time.monotonicNanoseconds() - start) / 1_000_000_000)
            let calls = scheduler.read { $0.renewals.compactMap(\.log).count } - 2
            #expect(scheduler.read { $0.renewals.compactMap(\.log).map(\.text).joined() } == "one\none\n01234567")
            #expect(calls <= seconds + 1, "at most one call a second")
            // Who prints nothing is renewed by the clock alone.
            let renewed = scheduler.read { $0.renewals.count { $0.log == nil } } - silent
            #expect(renewed <= 2 * (seconds / 10 + 1), "\(renewed) renewals without a log in \(seconds) s")
            let before = scheduler.read { $0.renewals.count }
            try await advance(time, by: .seconds(8))
            #expect(scheduler.read { $0.renewals.count } <= before + 2, "nothing new is no reason to call")
            for _ in 0..<2 { handler.end.signal(()) }
            try await eventually { scheduler.read { $0.finished.count } == 2 }
        }
    }

    @Test func whatAJobAskedForIsDoneWhenItsResultHasArrived() async throws {
        let handler = PrintingHandler()
        let jobs = [ClaimedJob.sample(), .sample()]
        try await withWorker(slots: [.small: 1], handler: handler, jobs: jobs) { scheduler, _ in
            let delivered = TestSignal<(name: String, results: Int)>()
            scheduler.change { $0.stale = Set(jobs.map(\.attemptID)) }
            let late = try await handler.reporters.next()
            late.onDelivery { delivered.signal(("late", scheduler.read { $0.finished.count })) }
            handler.end.signal(())
            let second = try await handler.reporters.next()
            scheduler.change { $0.stale = [] }
            second.onDelivery { delivered.signal(("forgotten", 0)) }
            second.onDelivery { delivered.signal(("in time", scheduler.read { $0.finished.count })) }
            handler.end.signal(())
            let first = try await delivered.next()
            #expect(first.name == "in time" && first.results == scheduler.read { $0.finished.count })
            #expect(delivered.pendingCount == 0)
        }
    }

    @Test func aStoppingWorkerDeliversAndDoesNoMoreThanThat() async throws {
        let (handler, hints) = (PrintingHandler(), Hints())
        let delivered = TestSignal<Void>()
        try await withWorker(handler: handler, wakeups: hints, jobs: [.sample()]) { _, worker in
            try await handler.reporters.next().onDelivery { delivered.signal(()) }
            try await eventually { hints.listening == [.small] }
            async let stopped: Void = worker.stop()
            try await eventually { hints.listening == [] }
            handler.end.signal(())
            await stopped
        }
        #expect(delivered.pendingCount == 0)
    }

    @Test func aLostLeaseIsKilledAndKeptSilentAbout() async throws {
        let time = ManualTimeSource()
        let handler = GatedHandler()
        try await withWorker(handler: handler, time: time, jobs: [.sample()]) { scheduler, _ in
            let attempt = try await handler.begun.next()
            scheduler.change { $0.standings[attempt] = .lost }
            try await advance(time, by: .seconds(14)) { handler.ended.pendingCount == 0 }
            #expect(try await handler.ended.next() == .leaseLost)
            scheduler.change { $0.waiting = [.sample()] }
            handler.open()
            try await advance(time, by: .seconds(20)) { scheduler.read { $0.finished.isEmpty } }
            try await eventually { scheduler.read { $0.finished.count } == 1 }
            #expect(scheduler.read { $0.finished.first?.attemptID } != attempt)
        }
    }

    @Test func withoutConfirmationARunIsKilledBeforeItsLeaseEnds() async throws {
        let time = ManualTimeSource()
        let handler = GatedHandler()
        try await withWorker(handler: handler, time: time, jobs: [.sample()]) { scheduler, _ in
            _ = try await handler.begun.next()
            scheduler.change { $0.isAway = true }
            let startedAt = time.monotonicNanoseconds()
            try await advance(time, by: .seconds(30)) { handler.ended.pendingCount == 0 }
            #expect(try await handler.ended.next() == .leaseLost)
            let elapsed = time.monotonicNanoseconds() - startedAt
            #expect(elapsed >= 24_000_000_000 && elapsed < 30_000_000_000, "\(elapsed)")
        }
    }

    @Test func aLargeResultIsPutFirst() async throws {
        let handler = GatedHandler(result: .completed(["text": .string(String(repeating: "x", count: 20_000))]))
        handler.open()
        try await withWorker(handler: handler, jobs: [.sample()]) { scheduler, _ in
            try await eventually { scheduler.read { $0.finished.count } == 1 }
            let finished = try #require(scheduler.read { $0.finished.first })
            #expect(finished.result == nil)
            let digest = try #require(finished.resultSHA256)
            #expect(scheduler.read { $0.results[digest] } == 20_011)
        }
    }

    @Test func aKindWithoutAHandlerFailsAndIsRetriedElsewhere() async throws {
        let handler = GatedHandler()
        try await withWorker(handler: handler, jobs: [.sample(kind: JobKind("unheard_of"))]) { scheduler, _ in
            try await eventually { scheduler.read { $0.finished.count } == 1 }
            #expect(scheduler.read { $0.finished.first?.failureKind } == .infra)
        }
    }

    @Test func aStoppingWorkerGivesItsJobsBack() async throws {
        let handler = GatedHandler()
        let job = ClaimedJob.sample()
        try await withWorker(handler: handler, jobs: [job]) { scheduler, worker in
            _ = try await handler.begun.next()
            await worker.stop()
            #expect(scheduler.read { $0.released } == [job.attemptID])
            #expect(try await handler.ended.next() == .draining)
            #expect(scheduler.read { $0.finished.isEmpty })
        }
    }

    @Test func aStoppingWorkerAsksOnceMoreWhatItsClaimWonAndGivesItBack() async throws {
        let jobs = [ClaimedJob.sample(), .sample()]
        // The clock stands still: nothing but the drain repeats the claim.
        let spoil: (FakeScheduler) -> Void = { scheduler in
            scheduler.change { $0.loseClaimAnswers = 1 }
            scheduler.releases.shut()
        }
        try await withWorker(handler: GatedHandler(), time: ManualTimeSource(), jobs: jobs, before: spoil) { scheduler, worker in
            try await eventually { scheduler.read { $0.claimRequests.count } == 1 }
            let stopping = Task {
                await worker.stop()
                return scheduler.read { $0.released }
            }
            try await scheduler.releases.entered.next()
            // A worker that does not wait for it has stopped by now.
            for _ in 0..<1_000 { await Task.yield() }
            scheduler.releases.open()
            #expect(Set(await stopping.value) == Set(jobs.map(\.attemptID)), "given back before the worker has stopped")
            let claims = scheduler.read { $0.claimRequests }
            #expect(claims.count == 2 && Set(claims).count == 1, "the same claim, once more")
            #expect(scheduler.read { $0.finished.isEmpty })
        }
    }

    @Test func aResultThatIsRefusedHoldsUpNobodyElse() async throws {
        let handler = GatedHandler()
        let jobs = (0..<3).map { _ in ClaimedJob.sample() }
        try await withWorker(slots: [.small: 3], handler: handler, jobs: jobs) { scheduler, _ in
            for _ in jobs { _ = try await handler.begun.next() }
            let bad = jobs[0].attemptID
            scheduler.change { $0.refuses = { $0.attemptID == bad && $0.outcome == .completed } }
            handler.open()
            try await eventually { scheduler.read { $0.finished.count } >= 2 }
            // More work is claimed and done while one result is still refused.
            let more = ClaimedJob.sample()
            scheduler.change { $0.waiting = [more] }
            try await eventually { scheduler.read { $0.finished.contains { $0.attemptID == more.attemptID } } }
            try await eventually { scheduler.read { $0.finished.contains { $0.attemptID == bad } } }
            let said = try #require(scheduler.read { $0.finished.first { $0.attemptID == bad } })
            #expect(said.outcome == .failed && said.failureKind == .infra && said.result == nil, "\(said)")
            #expect(scheduler.read { $0.refusals } >= SuspectResults.mostRefusals)
            #expect(scheduler.read { $0.finished.count } == 4)
        }
    }

    @Test(arguments: [Status.internalError, Status(413)])
    func aResultThatTheStoreRefusesFailsTheJob(status: Status) async throws {
        let handler = GatedHandler(result: .completed(["text": .string(String(repeating: "x", count: 20_000))]))
        handler.open()
        try await withWorker(handler: handler, jobs: [.sample()], before: { $0.change { $0.putStatus = status } }) { scheduler, _ in
            try await eventually { scheduler.read { $0.finished.count } == 1 }
            let said = try #require(scheduler.read { $0.finished.first })
            #expect(said.outcome == .failed && said.failureKind == .infra && said.errorMessage?.contains("could not be stored") == true, "\(said)")
            #expect(scheduler.read { $0.puts } == (status == .internalError ? 3 : 1))
        }
    }

    @Test func whatAHandlerSaysIsBoundedInBytes() async throws {
        let handler = GatedHandler(result: .failed(.exception, "a" + String(repeating: "\u{301}", count: 100_000)))
        handler.open()
        try await withWorker(handler: handler, jobs: [.sample()]) { scheduler, _ in
            try await eventually { scheduler.read { $0.finished.count } == 1 }
            #expect(scheduler.read { $0.finished.first?.errorMessage?.utf8.count } == 4095)
        }
    }

    /// Moves a standing clock in the steps of the worker's ticks, each once the worker sleeps again.
    private func advance(_ time: ManualTimeSource, by duration: Duration, while goOn: () -> Bool = { true }) async throws {
        let end = time.monotonicNanoseconds() + UInt64(duration.wholeMicroseconds) * 1000
        while time.monotonicNanoseconds() < end, goOn() {
            try await eventually("the worker's timers") { time.sleeperCount >= 2 || !goOn() }
            let sleepers = time.sleeperCount
            time.advance(by: .milliseconds(250))
            // Who was woken does its work and sleeps again, or has ended.
            for _ in 0..<100 where time.sleeperCount < sleepers && goOn() { try await Task.sleep(for: .milliseconds(2)) }
            try await loops.settle()
        }
    }
}
