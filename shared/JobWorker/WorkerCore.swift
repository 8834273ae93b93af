import Contracts
import HTTPServing
import ServiceRuntime

/// The moving part of a worker, on the control loop: sends what the book says, starts and stops jobs.
///
/// Two conversations with the scheduler run beside each other. One delivers results and claims (often in one call), woken by hints, by
/// ended jobs and by the clock. The other renews leases; it must never wait for the first.
actor WorkerCore {
    private nonisolated let control: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { control.asUnownedSerialExecutor() }

    private struct Job {
        var task: Task<Void, Never>
        var interruption: JobInterruption
        var log: LiveLog
        var delivery: DeliveryNote
    }

    private let calls: SchedulerCalls
    private let handlers: [String: any JobHandler]
    private let loops: [EventLoop]
    private let slots: any SlotSource
    private let wakeups: (any WakeupSource)?
    private let time: any TimeSource
    private let readiness: ReadinessCheck?
    private var metrics: WorkerMetrics
    private let logger = Logger("worker")

    private var book: LeaseBook
    private var jobs: [AttemptID: Job] = [:]
    private var started = 0
    private var failures = 0
    private var suspects = SuspectResults()
    private var isStopped = false
    private var listening: Set<ResourceClass> = []
    private var listener: Task<Void, Never>?
    private var background: [Task<Void, Never>] = []
    private var exchanges = 0
    /// Renewals under way, and whose log was the last to find room in one.
    private var renewing = 0
    private var lastLogged = AttemptID.make()
    /// The classes of which all that becomes free is claimed anew at once: a claim won many jobs, and each since then as many as it asked for.
    private var backlogged: Set<ResourceClass> = []
    /// The classes of which the last claim won less than it asked for, and of which no hint has come since, though hints of them are listened to. While others
    /// are backlogged nobody asks for these: the scheduler would look for them again and again, and the room that is kept for them would be idle.
    private var exhausted: Set<ResourceClass> = []
    /// The classes of which a hint has come since the last claim was sent: its answer may not know of that.
    private var hinted: Set<ResourceClass> = []
    private var releases: [Int: Task<Void, Never>] = [:]
    private var releaseCount = 0
    private let kicks: AsyncStream<Void>
    private nonisolated let kicker: AsyncStream<Void>.Continuation

    /// How long a claim waits at most for the next one when no hint comes.
    static let pollInterval = Duration.seconds(5)
    static let renewInterval: UInt64 = 10_000_000_000
    /// The leases of jobs that print are renewed as often as this.
    static let logInterval: UInt64 = 1_000_000_000
    private static let batchLimit = 250
    /// While more work waits than there is room for, so long are results gathered for one call.
    private static let gathering = Duration.milliseconds(2)
    private static let manySlots = 8
    /// A store of results that fails in itself (500) this often fails for good.
    private static let mostPutRefusals = 3

    init(
        calls: SchedulerCalls,
        slots: any SlotSource,
        handlers: [any JobHandler],
        wakeups: (any WakeupSource)?,
        time: any TimeSource,
        control: EventLoop,
        loops: [EventLoop],
        readiness: ReadinessCheck?,
        metrics: WorkerMetrics
    ) {
        self.calls = calls
        self.slots = slots
        self.wakeups = wakeups
        self.time = time
        self.control = control
        self.loops = loops
        self.readiness = readiness
        self.metrics = metrics
        book = LeaseBook(slots: slots)
        var byKind: [String: any JobHandler] = [:]
        for handler in handlers {
            for kind in handler.kinds {
                precondition(byKind[kind] == nil, "two handlers for jobs of kind \(kind)")
                byKind[kind] = handler
            }
        }
        self.handlers = byKind
        (kicks, kicker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// The slots of each class, and how many of them jobs have now.
    var occupancy: [WorkerClass] { book.occupancy }

    // MARK: Life

    func start() {
        slots.whenRoomIsFreed { [weak self] in
            guard let self else { return }
            Task(on: self.control) { await self.lookAgain() }
        }
        listen()
        background = [
            Task(on: control) { await self.exchangeLoop() },
            Task(on: control) { await self.pollLoop() },
            Task(on: control) { await self.leaseLoop() },
        ]
        kicker.yield()
    }

    /// Takes no more jobs, lets short ones end, gives the others back, delivers what is done.
    func stop(grace: Duration) async {
        book.drain()
        listen()
        let settling = Task(on: control) { await self.settleOpenClaim(within: grace) }
        let deadline = time.monotonicNanoseconds() + UInt64(grace.wholeMicroseconds) * 1000
        while book.runningCount > 0, time.monotonicNanoseconds() < deadline { try? await time.sleep(for: .milliseconds(20)) }
        let released = book.releaseRunning()
        for lease in released { interrupt(lease.attemptID, .draining) }
        if !released.isEmpty {
            do {
                try await calls.release(released)
                logger.notice("gave jobs back", ["jobs": .integer(released.count)])
            } catch {
                logger.warning("could not give jobs back; their leases will run out", ["error": .string("\(error)")])
            }
        }
        await settling.value
        for _ in 0..<5 where !book.undelivered(limit: 1).isEmpty {
            await exchange()
            if !book.undelivered(limit: 1).isEmpty { try? await time.sleep(for: .milliseconds(200)) }
        }
        isStopped = true
        kicker.finish()
        for task in background { task.cancel() }
        for job in jobs.values { await job.task.value }
        while let release = releases.values.first { await release.value }
    }

    /// A claim without an answer may have won jobs, and each would lose an attempt when its lease runs out: asked once more, then given back.
    private func settleOpenClaim(within limit: Duration) async {
        // Its answer may be under way; what it won is given back when it comes. The network keeps its own time.
        let giveUp = ContinuousClock.now + limit
        while exchanges > 0, ContinuousClock.now < giveUp { try? await Task.sleep(for: .milliseconds(10), clock: .continuous) }
        guard let claim = book.unansweredClaim else { return }
        do {
            let jobs = try await calls.claim(claim, deadline: .seconds(2))
            perform(book.claimAnswered(claim.claimID, jobs: jobs, now: time.monotonicNanoseconds()))
        } catch {
            logger.warning("could not ask what the last claim won; its leases will run out", ["error": .string("\(error)")])
        }
    }

    private func exchangeLoop() async {
        for await _ in kicks {
            if isStopped { return }
            await gather()
            await exchange()
        }
    }

    /// The first of many short jobs to end would go alone, and the others wait for its answer.
    private func gather() async {
        if !backlogged.isEmpty, book.runningCount > 0 { try? await Task.sleep(for: Self.gathering, clock: .continuous) }
    }

    private func pollLoop() async {
        while !isStopped, (try? await time.sleep(for: Self.pollInterval)) != nil { lookAgain() }
    }

    /// Asks for all classes: a hint may have been lost, or come while there was no room.
    private func lookAgain() {
        exhausted = []
        kicker.yield()
    }

    private func heard(of resourceClass: ResourceClass) {
        exhausted.remove(resourceClass)
        hinted.insert(resourceClass)
        kicker.yield()
    }

    private func leaseLoop() async {
        var renewedAt = time.monotonicNanoseconds()
        var saidAt = renewedAt
        let tick: UInt64 = 500_000_000
        while !isStopped, (try? await time.sleep(for: .nanoseconds(Int64(tick)))) != nil {
            let now = time.monotonicNanoseconds()
            // A tick early rather than a tick late.
            perform(book.expire(now: now + tick))
            let isDue = now >= renewedAt + Self.renewInterval && !book.renewals.isEmpty
            // One at a time: what a scheduler that is busy has not taken yet would only be sent twice.
            let bringsNews = now >= saidAt + Self.logInterval && renewing == 0 && jobs.values.contains { $0.log.hasNews }
            guard isDue || bringsNews else { continue }
            saidAt = now
            if isDue { renewedAt = now }
            // Beside this loop: a call that hangs must not keep it from killing what is no longer ours.
            Task(on: control) { await self.renew(all: isDue) }
        }
    }

    // MARK: Talking to the scheduler

    /// Renews all leases, or only those of jobs that have printed something: the others are not due yet, and each costs the scheduler a write.
    private func renew(all: Bool) async {
        renewing += 1
        defer { renewing -= 1 }
        for attempt in 0..<3 {
            let renewals = withLogs(book.renewals).filter { all || $0.log != nil }
            if renewals.isEmpty { return }
            let sentAt = time.monotonicNanoseconds()
            do {
                let standings = try await calls.renew(renewals)
                perform(book.renewalAnswered(standings, sentAt: sentAt))
                for renewal in renewals {
                    if let chunk = renewal.log { jobs[renewal.attemptID]?.log.arrived(chunk) }
                }
                return
            } catch {
                failed("renew", error)
                if attempt < 2 { try? await time.sleep(for: .seconds(1)) }
            }
        }
    }

    /// Adds what is new in the logs, as much as one call may carry; whose log finds no room is the first in the next call.
    private func withLogs(_ renewals: [LeaseRenewal]) -> [LeaseRenewal] {
        var renewals = renewals
        var room = LogChunk.maximumBytesOfACall
        let start = renewals.firstIndex { $0.attemptID > lastLogged } ?? 0
        for step in renewals.indices {
            let place = (start + step) % renewals.count
            guard room >= LogChunk.maximumBytes else { break }
            guard let chunk = jobs[renewals[place].attemptID]?.log.next() else { continue }
            renewals[place].log = chunk
            lastLogged = renewals[place].attemptID
            room -= chunk.text.utf8.count
        }
        return renewals
    }

    private func noteBacklog(_ claim: NextClaim, _ jobs: [ClaimedJob]) {
        for wanted in claim.classes {
            guard jobs.count(where: { $0.resourceClass == wanted.class }) == wanted.slots else {
                backlogged.remove(wanted.class)
                if !hinted.contains(wanted.class) { exhausted.insert(wanted.class) }
                continue
            }
            exhausted.remove(wanted.class)
            if wanted.slots >= Self.manySlots { backlogged.insert(wanted.class) }
        }
    }

    /// Delivers results and claims until there is nothing to deliver and no more work to be had.
    private func exchange() async {
        exchanges += 1
        defer { exchanges -= 1 }
        while !isStopped {
            let finished = book.undelivered(limit: Self.batchLimit, except: suspects.attempts)
            let now = time.monotonicNanoseconds()
            let claim = book.isDraining ? nil : book.claim(now: now, without: backlogged.isEmpty ? [] : exhausted)
            if finished.isEmpty, claim == nil { break }
            if claim != nil { hinted = [] }
            do {
                let jobs: [ClaimedJob]
                if finished.isEmpty, let claim {
                    jobs = try await calls.claim(claim)
                } else {
                    let answer = try await calls.finish(finished, next: claim)
                    taken(finished, answer.finished)
                    jobs = answer.jobs
                }
                failures = 0
                readiness?.set(ready: true)
                if let claim {
                    noteBacklog(claim, jobs)
                    perform(book.claimAnswered(claim.claimID, jobs: jobs, now: time.monotonicNanoseconds()))
                }
                let wanted = claim?.classes.reduce(0) { $0 + $1.slots } ?? 0
                if jobs.count < wanted || wanted == 0, !book.hasMoreToAsk, book.undelivered(limit: 1, except: suspects.attempts).isEmpty { break }
                await gather()
            } catch {
                failed("exchange", error)
                // Any of these results may be what is refused: they leave the claim's way, and go one to a call.
                if SuspectResults.isRefusal(error), !finished.isEmpty {
                    suspects.add(finished.map(\.attemptID))
                    continue
                }
                retryLater()
                break
            }
        }
        hearOfWhatIsNotAsked()
        await deliverSuspects()
    }

    /// A class that stood back for another in the last claim has room now that nobody asks for: who is told of its jobs must listen.
    private func hearOfWhatIsNotAsked() {
        if backlogged.isEmpty { return }
        backlogged.subtract(book.freeSlots.map(\.class))
        listen()
    }

    /// Sends results of a refused call one by one; what is refused again and again is replaced by word of that, and at last dropped.
    private func deliverSuspects() async {
        if suspects.attempts.isEmpty { return }
        suspects.keep(only: book.undelivered(limit: .max).map(\.attemptID))
        for finished in book.undelivered(limit: .max) where suspects.isDue(finished.attemptID, now: time.monotonicNanoseconds(), book.isDraining) {
            if isStopped { return }
            do {
                taken([finished], try await calls.finish([finished], next: nil).finished)
                suspects.remove(finished.attemptID)
            } catch  where SuspectResults.isRefusal(error) {
                metrics.failedCalls.increment()
                refused(finished, error)
            } catch {
                failed("finish", error)
                break
            }
        }
        guard let due = suspects.nextDue else { return }
        let now = time.monotonicNanoseconds()
        kickLater(.nanoseconds(Int64(due > now ? due - now : 0)) + .milliseconds(100))
    }

    private func refused(_ finished: FinishedJob, _ error: any Error) {
        let details: [String: LogValue] = ["job_id": .string("\(finished.jobID)"), "error": .string("\(error)")]
        switch suspects.refused(finished.attemptID, now: time.monotonicNanoseconds()) {
        case .again: logger.warning("the scheduler refuses a result", details)
        case .replace:
            logger.error("the scheduler refuses a result; the job is reported as failed instead", details)
            _ = book.finished(.undeliverable(finished.jobID, finished.attemptID, "the scheduler did not take the result: \(error)"))
        case .drop:
            logger.error("the scheduler refuses every word about a job; its lease will run out", details)
            book.drop(finished.attemptID)
        }
    }

    private func taken(_ finished: [FinishedJob], _ receipts: [FinishReceipt]) {
        let afterwards = book.finishAnswered(receipts)
        let answered = Set(receipts.map(\.attemptID))
        for job in finished where !answered.contains(job.attemptID) { book.drop(job.attemptID) }
        report(receipts)
        for work in afterwards { work() }
    }

    private func report(_ receipts: [FinishReceipt]) {
        for receipt in receipts where receipt.state == .stale {
            logger.warning("a result came too late", ["job_id": .string("\(receipt.jobID)"), "attempt_id": .string("\(receipt.attemptID)")])
        }
    }

    private func failed(_ call: String, _ error: any Error) {
        metrics.failedCalls.increment()
        readiness?.set(ready: false, detail: "no answer")
        // The first of a row says it all; the readiness says how long it lasts.
        if failures == 0 { logger.warning("the scheduler did not answer", ["call": .string(call), "error": .string("\(error)")]) }
    }

    private func retryLater() {
        failures = min(failures + 1, 6)
        kickLater(Duration.milliseconds(100 * (1 << failures)) * Double.random(in: 0.5...1))
    }

    private func kickLater(_ delay: Duration) {
        Task(on: control) { [time, kicker] in
            try? await time.sleep(for: delay)
            kicker.yield()
        }
    }

    /// Hears hints of the classes with a free slot and of no others: a hint that a full worker takes is lost to those who have room.
    private func listen() {
        book.tellSlots()
        defer { exhausted.formIntersection(listening) }
        guard let wakeups else { return }
        var wanted = book.isDraining ? [] : Set(book.freeSlots.map(\.class))
        // Nobody need say that there is work of what is claimed anew at once; to listen and to leave again each time costs the broker more than the jobs cost
        // the scheduler.
        wanted.subtract(backlogged.subtracting(listening))
        if wanted == listening { return }
        listening = wanted
        listener?.cancel()
        listener = nil
        if wanted.isEmpty { return }
        let classes = wanted.sorted { $0.rawValue < $1.rawValue }
        listener = Task(on: control) { [time] in
            while !Task.isCancelled {
                let asked = time.monotonicNanoseconds()
                if let resourceClass = await wakeups.next(of: classes, within: .seconds(30)) {
                    await self.heard(of: resourceClass)
                } else if time.monotonicNanoseconds() - asked < 1_000_000_000 {
                    // The source is stopping or its broker is away: it is not asked in a circle.
                    try? await time.sleep(for: .seconds(1))
                }
            }
        }
    }

    // MARK: Jobs

    private func perform(_ actions: [LeaseBook.Action]) {
        var released: [LeaseReference] = []
        for action in actions {
            switch action {
            case .start(let job): begin(job)
            case .stop(let attemptID, let reason):
                if reason == .leaseLost {
                    metrics.lostLeases.increment()
                    logger.warning("a lease is lost; its job is killed", ["attempt_id": .string("\(attemptID)")])
                }
                interrupt(attemptID, reason)
            case .release(let lease): released.append(lease)
            }
        }
        metrics.runs(book.runningCount)
        listen()
        if !released.isEmpty { giveBack(released) }
    }

    private func giveBack(_ leases: [LeaseReference]) {
        releaseCount += 1
        let number = releaseCount
        releases[number] = Task(on: control) { await self.release(leases, number) }
    }

    private func release(_ leases: [LeaseReference], _ number: Int) async {
        do {
            try await calls.release(leases)
        } catch {
            logger.warning("could not give jobs back; their leases will run out", ["error": .string("\(error)")])
        }
        releases[number] = nil
    }

    private func interrupt(_ attemptID: AttemptID, _ reason: JobInterruption.Reason) {
        guard let job = jobs[attemptID] else { return }
        job.interruption.say(reason)
        job.task.cancel()
    }

    private func begin(_ job: ClaimedJob) {
        let interruption = JobInterruption()
        started += 1
        let handler = handlers[job.kind.rawValue]
        let trace = job.traceparent.flatMap { TraceContext(traceparent: $0) }?.child() ?? TraceContext.make()
        let context = RequestContextValue(requestID: "\(job.jobID)", trace: trace)
        let (log, delivery) = (LiveLog(), DeliveryNote())
        let reporter = JobReporter(
            progress: { percent in Task(on: self.control) { await self.progress(job.attemptID, percent) } },
            log: { log.append($0) },
            afterwards: { delivery.set($0) }
        )
        let task = Task(on: loops[started % loops.count]) { [time, calls] in
            let startedAt = time.monotonicNanoseconds()
            let result = await JobInterruption.$current.withValue(interruption) {
                await RequestContext.$current.withValue(context) {
                    guard let handler else { return JobResult.failed(.infra, "this worker has no handler for jobs of kind '\(job.kind)'") }
                    return await handler.run(job, reporter: reporter)
                }
            }
            let seconds = Double(time.monotonicNanoseconds() - startedAt) / 1e9
            var finished = await Self.finished(job, result, interruption, calls, time)
            finished?.wallSeconds = seconds
            await self.ended(job, result, finished, seconds: seconds)
        }
        jobs[job.attemptID] = Job(task: task, interruption: interruption, log: log, delivery: delivery)
    }

    private func progress(_ attemptID: AttemptID, _ percent: Int) {
        book.progress(attemptID, percent)
    }

    private func ended(_ job: ClaimedJob, _ result: JobResult, _ finished: FinishedJob?, seconds: Double) {
        let delivery = jobs.removeValue(forKey: job.attemptID)?.delivery
        metrics.ended(job, result, seconds: seconds)
        log(job, result, seconds: seconds)
        let wasLeaving = book.isLeaving(job.attemptID)
        book.ended(job.attemptID)
        // There is a result to deliver, or room for which nobody has asked yet.
        if let finished, book.finished(finished, afterwards: delivery?.work) {
            kicker.yield()
        } else if wasLeaving {
            kicker.yield()
        }
        metrics.runs(book.runningCount)
        listen()
    }

    private func log(_ job: ClaimedJob, _ result: JobResult, seconds: Double) {
        let level: LogLevel = result.outcome == .completed ? .debug : .info
        guard Logger.writes(level) else { return }
        let details: [String: LogValue] = [
            "job_id": .string("\(job.jobID)"), "attempt_id": .string("\(job.attemptID)"), "kind": .string(job.kind.rawValue),
            "outcome": .string(result.failureKind?.rawValue ?? result.outcome.rawValue), "milliseconds": .number((seconds * 1000).rounded()),
        ]
        if level == .debug { logger.debug("a job ended", details) } else { logger.info("a job failed", details) }
    }

    /// The handler's result in the form that travels; a large one is put first. Nil when the job was lost while that was tried.
    private static func finished(
        _ job: ClaimedJob,
        _ result: JobResult,
        _ interruption: JobInterruption,
        _ calls: SchedulerCalls,
        _ time: any TimeSource
    ) async -> FinishedJob? {
        var finished = FinishedJob(jobID: job.jobID, attemptID: job.attemptID, outcome: result.outcome)
        finished.failureKind = result.failureKind
        finished.errorMessage = result.errorMessage.map { FinishedJob.message($0) }
        finished.cpuSeconds = result.cpuSeconds
        finished.memoryPeakBytes = result.memoryPeakBytes
        finished.bytesIn = result.bytesIn
        finished.log = result.log.map { FinishedJob.plain($0, maximumBytes: FinishedJob.maximumLogBytes) }
        finished.logTruncated = result.logTruncated || (result.log?.utf8.count ?? 0) > FinishedJob.maximumLogBytes
        guard let value = result.result else { return finished }
        let bytes = WireJSON.encode(value)
        finished.bytesOut = Int64(bytes.count + (finished.log?.utf8.count ?? 0))
        if bytes.count <= FinishedJob.maximumResultBytes {
            finished.result = value
            return finished
        }
        var delay = Duration.milliseconds(200)
        var refusals = 0
        while interruption.reason?.isImmediate != true {
            do {
                finished.resultSHA256 = try await calls.put(result: bytes)
                return finished
            } catch let error as ServiceClientError where !error.isPassing {
                refusals += 1
                if refusals >= Self.mostPutRefusals || (400..<500).contains(error.status ?? 0) {
                    return FinishedJob.undeliverable(job.jobID, job.attemptID, "the result of \(bytes.count) bytes could not be stored: \(error)")
                }
            } catch {
                // Away for a while: asked again as long as the job is ours.
            }
            try? await time.sleep(for: delay)
            delay = min(delay * 2, .seconds(5))
        }
        return nil
    }
}
