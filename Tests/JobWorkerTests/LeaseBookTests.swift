import Contracts
import Synchronization
import Testing

@testable import JobWorker

/// The rules of claims and leases, without a clock and a network.
@Suite struct LeaseBookTests {
    private static let second: UInt64 = 1_000_000_000

    /// A book at an address of its own, because the macros of tests cannot call what changes a value.
    private final class Book {
        private var book: LeaseBook
        init(slots: [ResourceClass: Int]) { book = LeaseBook(slots: slots) }
        var runningCount: Int { book.runningCount }
        var occupancy: [WorkerClass] { book.occupancy }
        var renewals: [LeaseRenewal] { book.renewals }
        func claim(now: UInt64) -> NextClaim? { book.claim(now: now) }
        func claimAnswered(_ id: ClaimID, jobs: [ClaimedJob], now: UInt64) -> [LeaseBook.Action] { book.claimAnswered(id, jobs: jobs, now: now) }
        func renewalAnswered(_ standings: [LeaseStanding], sentAt: UInt64) -> [LeaseBook.Action] {
            book.renewalAnswered(standings, sentAt: sentAt)
        }
        func expire(now: UInt64) -> [LeaseBook.Action] { book.expire(now: now) }
        func progress(_ attemptID: AttemptID, _ percent: Int) { book.progress(attemptID, percent) }
        func finished(_ result: FinishedJob, afterwards: (@Sendable () -> Void)? = nil) -> Bool { book.finished(result, afterwards: afterwards) }
        func undelivered(limit: Int) -> [FinishedJob] { book.undelivered(limit: limit) }
        @discardableResult func finishAnswered(_ receipts: [FinishReceipt]) -> [@Sendable () -> Void] { book.finishAnswered(receipts) }
        func ended(_ attemptID: AttemptID) { book.ended(attemptID) }
        func drain() { book.drain() }
        func releaseRunning() -> [LeaseReference] { book.releaseRunning() }
    }

    private static func started(_ book: Book, count: Int = 1, class: ResourceClass = .small, at now: UInt64 = 0) throws -> [ClaimedJob] {
        let claim = try #require(book.claim(now: now))
        let jobs = (0..<count).map { _ in ClaimedJob.sample(class: `class`) }
        #expect(book.claimAnswered(claim.claimID, jobs: jobs, now: now) == jobs.map { .start($0) })
        return jobs
    }

    private static func standing(_ job: ClaimedJob, _ state: LeaseStanding.State) -> LeaseStanding {
        LeaseStanding(jobID: job.jobID, attemptID: job.attemptID, state: state)
    }

    @Test func aClaimAsksForAllFreeSlots() throws {
        let book = Book(slots: [.small: 2, .signal: 1])
        #expect(book.claim(now: 0)?.classes == [ClassSlots(class: .signal, slots: 1), ClassSlots(class: .small, slots: 2)])
        _ = try Self.started(book)
        #expect(book.claim(now: 0)?.classes == [ClassSlots(class: .signal, slots: 1), ClassSlots(class: .small, slots: 1)])
    }

    @Test func theBookKnowsWhatRunsInEachClass() throws {
        let book = Book(slots: [.small: 2, .signal: 1])
        let job = try Self.started(book)[0]
        #expect(book.occupancy == [WorkerClass(class: .signal, slots: 1, busy: 0), WorkerClass(class: .small, slots: 2, busy: 1)])
        #expect(book.finished(.sample(job)))
        #expect(book.occupancy.allSatisfy { $0.busy == 0 }, "a result that waits for its delivery takes no room")
    }

    /// A sandbox that is being killed still has its memory: a job that was claimed into its room would not fit.
    @Test(arguments: [true, false]) func aKilledJobHasItsRoomUntilItHasEnded(_ isLost: Bool) throws {
        let book = Book(slots: [.small: 1])
        let job = try Self.started(book)[0]
        let actions = isLost ? book.renewalAnswered([Self.standing(job, .lost)], sentAt: 1) : book.expire(now: LeaseBook.killAfter)
        #expect(actions == [.stop(job.attemptID, .leaseLost)])
        #expect(book.claim(now: LeaseBook.killAfter) == nil && book.occupancy.first?.busy == 1)
        #expect(book.renewals.isEmpty, "it is another's")
        book.ended(job.attemptID)
        #expect(book.occupancy.first?.busy == 0 && book.claim(now: LeaseBook.killAfter) != nil)
    }

    @Test func aFullWorkerClaimsNothing() throws {
        let book = Book(slots: [.small: 1])
        let job = try Self.started(book)[0]
        #expect(book.claim(now: 0) == nil)
        #expect(book.finished(.sample(job)))
        #expect(book.claim(now: 0)?.classes == [ClassSlots(class: .small, slots: 1)], "a finished job takes no slot")
    }

    @Test func aClaimWithoutAnAnswerIsRepeatedWithItsID() throws {
        let book = Book(slots: [.small: 2])
        let first = try #require(book.claim(now: 0))
        #expect(book.claim(now: 3 * Self.second) == first)
        let job = ClaimedJob.sample()
        #expect(book.claimAnswered(first.claimID, jobs: [job], now: 4 * Self.second) == [.start(job)])
        #expect(book.claimAnswered(first.claimID, jobs: [job], now: 4 * Self.second) == [], "its second answer says nothing new")
        #expect(book.claim(now: 5 * Self.second)?.claimID != first.claimID)
    }

    @Test func theLeaseOfARepeatedClaimCountsFromItsFirstSending() throws {
        let book = Book(slots: [.small: 2])
        let claim = try #require(book.claim(now: 0))
        _ = book.claimAnswered(claim.claimID, jobs: [.sample()], now: 20 * Self.second)
        #expect(book.expire(now: 24 * Self.second).isEmpty)
        #expect(book.expire(now: 25 * Self.second).count == 1)
    }

    @Test func jobsOfAClaimThatWasAnsweredTooLateAreGivenBack() throws {
        let book = Book(slots: [.small: 2])
        let claim = try #require(book.claim(now: 0))
        let job = ClaimedJob.sample()
        let actions = book.claimAnswered(claim.claimID, jobs: [job], now: 25 * Self.second)
        #expect(actions == [.release(LeaseReference(jobID: job.jobID, attemptID: job.attemptID))])
        #expect(book.runningCount == 0)
    }

    @Test func aLeaseLastsFromTheSendingOfTheLastConfirmedRenewal() throws {
        let book = Book(slots: [.small: 1])
        let job = try Self.started(book)[0]
        #expect(book.renewalAnswered([Self.standing(job, .held)], sentAt: 10 * Self.second).isEmpty)
        // A later renewal was sent but never answered: it does not count.
        #expect(book.expire(now: 35 * Self.second - 1).isEmpty)
        #expect(book.expire(now: 35 * Self.second) == [.stop(job.attemptID, .leaseLost)])
        #expect(book.expire(now: 35 * Self.second).isEmpty)
        #expect(!book.finished(.sample(job)), "what the killed run still says is dropped")
    }

    @Test func answersOutOfOrderDoNotShortenALease() throws {
        let book = Book(slots: [.small: 1])
        let job = try Self.started(book)[0]
        _ = book.renewalAnswered([Self.standing(job, .held)], sentAt: 20 * Self.second)
        _ = book.renewalAnswered([Self.standing(job, .held)], sentAt: 10 * Self.second)
        #expect(book.expire(now: 44 * Self.second).isEmpty)
    }

    @Test func aCancelStopsOnceAndIsFinished() throws {
        let book = Book(slots: [.small: 1])
        let job = try Self.started(book)[0]
        #expect(book.renewalAnswered([Self.standing(job, .cancelRequested)], sentAt: Self.second) == [.stop(job.attemptID, .cancelRequested)])
        #expect(book.renewalAnswered([Self.standing(job, .cancelRequested)], sentAt: 2 * Self.second).isEmpty)
        #expect(book.claim(now: 0) == nil, "it keeps its slot until it has stopped")
        #expect(book.finished(.sample(job)))
        #expect(book.undelivered(limit: 9).map(\.attemptID) == [job.attemptID])
    }

    @Test func aLostLeaseKillsWithoutAWord() throws {
        let book = Book(slots: [.small: 2])
        let jobs = try Self.started(book, count: 2)
        #expect(book.finished(.sample(jobs[1])))
        let standings = jobs.map { Self.standing($0, .lost) }
        #expect(book.renewalAnswered(standings, sentAt: Self.second) == [.stop(jobs[0].attemptID, .leaseLost)])
        #expect(book.undelivered(limit: 9).isEmpty)
        #expect(book.renewals.isEmpty)
    }

    @Test func resultsAreKeptUntilTheyAreTakenOrStale() throws {
        let book = Book(slots: [.small: 3])
        let jobs = try Self.started(book, count: 3)
        for job in jobs { #expect(book.finished(.sample(job))) }
        #expect(book.undelivered(limit: 2).count == 2)
        #expect(book.undelivered(limit: 9).count == 3, "asking does not take them")
        #expect(book.expire(now: 3600 * Self.second).isEmpty, "only the scheduler knows whether they count")
        #expect(book.renewals.count == 3, "and meanwhile their leases are kept")
        book.finishAnswered([
            FinishReceipt(jobID: jobs[0].jobID, attemptID: jobs[0].attemptID, state: .accepted),
            FinishReceipt(jobID: jobs[1].jobID, attemptID: jobs[1].attemptID, state: .stale),
        ])
        #expect(book.undelivered(limit: 9).map(\.attemptID) == [jobs[2].attemptID])
    }

    @Test func whatIsToBeDoneAfterwardsGoesWithTheLease() throws {
        let book = Book(slots: [.small: 5])
        let jobs = try Self.started(book, count: 5)
        let done = Mutex<[Int]>([])
        for (number, job) in jobs.enumerated() {
            let isOurs = book.finished(.sample(job), afterwards: { done.withLock { $0.append(number) } })
            #expect(isOurs)
        }
        // Its words are replaced, its wish stays.
        #expect(book.finished(.undeliverable(jobs[0].jobID, jobs[0].attemptID, "refused")))
        _ = book.renewalAnswered([Self.standing(jobs[1], .lost)], sentAt: 1)
        func answer(_ jobs: ArraySlice<ClaimedJob>, _ state: FinishReceipt.State) {
            for work in book.finishAnswered(jobs.map { FinishReceipt(jobID: $0.jobID, attemptID: $0.attemptID, state: state) }) { work() }
        }
        answer(jobs[0...1], .accepted)
        answer(jobs[0...0], .accepted)
        answer(jobs[2...2], .stale)
        answer(jobs[3...3], .accepted)
        book.drain()
        answer(jobs[4...4], .accepted)
        #expect(done.withLock { $0 } == [0, 3])
    }

    @Test func aDrainingWorkerGivesBackWhatItHolds() throws {
        let book = Book(slots: [.small: 3])
        let jobs = try Self.started(book, count: 2)
        let open = try #require(book.claim(now: 0))
        #expect(book.finished(.sample(jobs[0])))
        book.drain()
        let late = ClaimedJob.sample()
        let actions = book.claimAnswered(open.claimID, jobs: [late], now: 0)
        #expect(actions == [.release(LeaseReference(jobID: late.jobID, attemptID: late.attemptID))])
        #expect(book.claim(now: 0) == nil)
        #expect(book.releaseRunning().map(\.attemptID) == [jobs[1].attemptID])
        #expect(book.undelivered(limit: 9).map(\.attemptID) == [jobs[0].attemptID], "what is done is delivered, not given back")
    }

    @Test func progressTravelsWithTheRenewal() throws {
        let book = Book(slots: [.small: 1])
        let job = try Self.started(book)[0]
        book.progress(job.attemptID, 140)
        #expect(book.renewals == [LeaseRenewal(jobID: job.jobID, attemptID: job.attemptID, progress: 100)])
    }
}
