import Contracts
import ServiceRuntime
import Synchronization

/// Puts claims that arrive while another is under way into one: claims take turns (`ClaimStatements`), so many workers share one instead of waiting in a row.
final class ClaimMerger: Sendable {
    private struct Waiting: Sendable {
        let claim: Claim
        let continuation: CheckedContinuation<[Job], any Error>
    }

    private struct State {
        var waiting: [Waiting] = []
        var isClaiming = false
        var heldBack: Set<ResourceClass> = []
        /// Counts the moments at which places became free.
        var frees = 0
    }

    /// Slots that one statement fills at most.
    private static let mostSlots = 512
    private let store: any SchedulerStore
    private let state = Mutex(State())

    private let hint: @Sendable (ResourceClass) -> Void

    init(store: any SchedulerStore, hint: @escaping @Sendable (ResourceClass) -> Void) {
        self.store = store
        self.hint = hint
    }

    /// Places became free: tells workers of the classes in which an account was last passed because it may run no more at once. Else its next job would
    /// wait for the sweeper.
    func placesFreed() {
        let heldBack = state.withLock { state -> Set<ResourceClass> in
            state.frees += 1
            return state.heldBack
        }
        for resourceClass in heldBack { hint(resourceClass) }
    }

    func claim(_ claim: Claim) async throws -> [Job] {
        // Without a loop, as in a test, nobody joins: a task of its own has to run somewhere.
        guard let loop = EventLoop.current else { return try await take([claim]).jobs[claim.id] ?? [] }
        return try await withCheckedThrowingContinuation { continuation in
            let mustClaim = state.withLock { state -> Bool in
                state.waiting.append(Waiting(claim: claim, continuation: continuation))
                if state.isClaiming { return false }
                state.isClaiming = true
                return true
            }
            // Beside the caller's task: were that cancelled, those who joined it would lose their claims with it.
            if mustClaim { Task(on: loop) { await self.work() } }
        }
    }

    private func work() async {
        while true {
            let batch = state.withLock { state -> [Waiting] in
                var slots = 0
                let batch = Array(
                    state.waiting.prefix { waiting in
                        let wanted = waiting.claim.classes.reduce(0) { $0 + max(0, $1.slots) }
                        defer { slots += wanted }
                        return slots == 0 || slots + wanted <= Self.mostSlots
                    }
                )
                state.waiting.removeFirst(batch.count)
                if batch.isEmpty { state.isClaiming = false }
                return batch
            }
            if batch.isEmpty { return }
            await claim(batch)
        }
    }

    private func claim(_ batch: [Waiting]) async {
        // The same claim twice is one: its second copy hears what the first one won.
        var claims: [Claim] = []
        for waiting in batch where !claims.contains(where: { $0.id == waiting.claim.id }) { claims.append(waiting.claim) }
        do {
            let answers = try await take(claims)
            for waiting in batch { waiting.continuation.resume(returning: answers.jobs[waiting.claim.id] ?? []) }
        } catch {
            for waiting in batch { waiting.continuation.resume(throwing: error) }
        }
    }

    private func take(_ claims: [Claim]) async throws -> ClaimAnswers {
        let frees = state.withLock { $0.frees }
        let answers = try await store.claim(claims)
        let looked = Set(claims.flatMap { claim in claim.classes.filter { $0.slots > 0 }.map(\.class) })
        let hasMissedPlaces = state.withLock { state -> Bool in
            state.heldBack = state.heldBack.subtracting(looked).union(answers.heldBack)
            return state.frees != frees
        }
        // Whoever freed a place while this claim looked did not know yet that somebody waits for one.
        if hasMissedPlaces { for resourceClass in answers.heldBack { hint(resourceClass) } }
        return answers
    }
}
