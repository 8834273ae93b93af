import Synchronization

/// Makes each value once for all who want it at the same time: the first one makes it, the others wait for what comes of it.
///
/// Nothing is remembered. When the one who makes it is cancelled, whose client went away, somebody who waits makes it instead.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private typealias Landing = CheckedContinuation<Value?, any Error>

    /// One value on its way.
    private final class Flight: Sendable {
        private struct State {
            var outcome: Result<Value?, any Error>?
            var waiting: [UInt64: Landing] = [:]
            var nextNumber: UInt64 = 0
        }

        private let state = Mutex(State())

        var followers: Int { state.withLock { $0.waiting.count } }

        func land(_ outcome: Result<Value?, any Error>) {
            let landings = state.withLock { state in
                state.outcome = outcome
                defer { state.waiting = [:] }
                return state.waiting.values
            }
            for landing in landings { landing.resume(with: outcome) }
        }

        func follow() async throws -> Value? {
            let number = state.withLock { state in
                state.nextNumber += 1
                return state.nextNumber
            }
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { (landing: Landing) in
                    let outcome = state.withLock { state in
                        if state.outcome == nil { state.waiting[number] = landing }
                        return state.outcome
                    }
                    if let outcome { return landing.resume(with: outcome) }
                    if Task.isCancelled { leave(number) }
                }
            } onCancel: {
                leave(number)
            }
        }

        private func leave(_ number: UInt64) {
            state.withLock { $0.waiting.removeValue(forKey: number) }?.resume(throwing: CancellationError())
        }
    }

    /// The one who made it gave up.
    private struct Abandoned: Error {}

    private let flights = Mutex<[Key: Flight]>([:])

    /// How many values are being made.
    var underWay: Int { flights.withLock { $0.count } }
    /// How many wait for one that somebody else makes.
    var followers: Int { flights.withLock { $0.values.reduce(0) { $0 + $1.followers } } }

    /// The value, made by `make` unless somebody is making it.
    func value(for key: Key, _ make: () async throws -> Value) async throws -> Value {
        while true {
            if let value = try await values(for: [key], { _ in [key: try await make()] })[key] { return value }
        }
    }

    /// The values of several keys; `make` gets those that nobody is making and may leave some out. Whoever makes some hands them on before he waits for
    /// others, so that two can never wait for one another.
    func values(for keys: [Key], _ make: ([Key]) async throws -> [Key: Value]) async throws -> [Key: Value] {
        var found: [Key: Value] = [:]
        var missing = Set(keys)
        while !missing.isEmpty {
            try Task.checkCancellation()
            let (mine, others) = join(missing)
            if !mine.isEmpty {
                let made: [Key: Value]
                do { made = try await make(Array(mine.keys)) } catch {
                    land(mine, .failure(Task.isCancelled ? Abandoned() : error))
                    throw error
                }
                for (key, flight) in mine { land([key: flight], .success(made[key])) }
                found.merge(made) { $1 }
                missing.subtract(mine.keys)
            }
            for (key, flight) in others {
                do { found[key] = try await flight.follow() } catch is Abandoned { continue }
                missing.remove(key)
            }
        }
        return found
    }

    /// The value, made by somebody who outlives the one who wants it: `hand` takes the work, or says false when it has no room, and then there is no value.
    /// Whoever waits may go away; it is made all the same.
    func value(
        for key: Key,
        by hand: (@escaping @Sendable () async -> Void) -> Bool,
        _ make: @escaping @Sendable () async throws -> Value
    ) async throws -> Value? {
        let (mine, others) = join([key])
        guard let flight = mine[key] else { return try await others[key]?.follow() ?? nil }
        let isTaken = hand { [self] in
            do { land([key: flight], .success(try await make())) } catch { land([key: flight], .failure(error)) }
        }
        if !isTaken { land([key: flight], .success(nil)) }
        return try await flight.follow()
    }

    private func join(_ keys: Set<Key>) -> (mine: [Key: Flight], others: [Key: Flight]) {
        flights.withLock { flights in
            var (mine, others): ([Key: Flight], [Key: Flight]) = ([:], [:])
            for key in keys {
                if let flight = flights[key] {
                    others[key] = flight
                } else {
                    mine[key] = Flight()
                    flights[key] = mine[key]
                }
            }
            return (mine, others)
        }
    }

    private func land(_ landed: [Key: Flight], _ outcome: Result<Value?, any Error>) {
        flights.withLock { flights in for key in landed.keys { flights[key] = nil } }
        for flight in landed.values { flight.land(outcome) }
    }
}
