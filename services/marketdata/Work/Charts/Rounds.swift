import Synchronization

/// Asks a question once for all who came before it was asked.
///
/// Unlike with ``SingleFlight``, nobody gets an answer to a question that was on its way already when he came: whoever comes meanwhile waits for the next
/// round, together with all others who do. So an answer is never older than the request that it is for, and under load the question costs once a round.
final class Rounds<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private enum Turn: Sendable {
        case answer(Result<Value, any Error>)
        /// Ask, for yourself and for these.
        case lead([Waiter])
    }

    private typealias Waiter = CheckedContinuation<Turn, Never>

    /// Those who wait for the next round, by what they ask.
    private let waiting = Mutex<[Key: [Waiter]]>([:])

    /// How many rounds are under way.
    var underWay: Int { waiting.withLock { $0.count } }
    /// How many wait for the next round.
    var waiters: Int { waiting.withLock { $0.values.reduce(0) { $0 + $1.count } } }

    /// The answer that `ask` gives, asked after this was called.
    func value(for key: Key, _ ask: () async throws -> Value) async throws -> Value {
        let isFirst = waiting.withLock { waiting in
            if waiting[key] != nil { return false }
            waiting[key] = []
            return true
        }
        if isFirst { return try await lead([], key, ask) }
        let turn = await withCheckedContinuation { (waiter: Waiter) in
            let mayLead = waiting.withLock { waiting in
                if waiting[key] == nil {
                    waiting[key] = []
                    return true
                }
                waiting[key]?.append(waiter)
                return false
            }
            if mayLead { waiter.resume(returning: .lead([])) }
        }
        switch turn {
        case .answer(let result): return try result.get()
        case .lead(let followers): return try await lead(followers, key, ask)
        }
    }

    private func lead(_ followers: [Waiter], _ key: Key, _ ask: () async throws -> Value) async throws -> Value {
        let result: Result<Value, any Error>
        do { result = .success(try await ask()) } catch {
            // Whose client went away gives up for himself only.
            if Task.isCancelled, let next = followers.first {
                next.resume(returning: .lead(Array(followers.dropFirst())))
                throw error
            }
            result = .failure(error)
        }
        for follower in followers { follower.resume(returning: .answer(result)) }
        let next = waiting.withLock { waiting -> [Waiter] in
            let next = waiting[key] ?? []
            waiting[key] = next.isEmpty ? nil : []
            return next
        }
        if let first = next.first { first.resume(returning: .lead(Array(next.dropFirst()))) }
        return try result.get()
    }
}
