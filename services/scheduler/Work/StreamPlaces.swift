import Contracts
import HTTPServing
import Synchronization

/// How many streams may be open at a replica, in all and of one account. A place is taken when a stream is admitted, so that many who come at once are
/// counted as well.
final class StreamPlaces: Sendable {
    private let maximum: Int
    private let maximumOfAccount: Int
    private let taken = Mutex<[AccountID: Int]>([:])

    init(maximum: Int, maximumOfAccount: Int) {
        self.maximum = maximum
        self.maximumOfAccount = maximumOfAccount
    }

    /// One more stream of an account; refuses it where there are too many.
    func take(_ account: AccountID) throws -> Place {
        let isFree = taken.withLock { taken in
            guard taken.values.reduce(0, +) < maximum, taken[account, default: 0] < maximumOfAccount else { return false }
            taken[account, default: 0] += 1
            return true
        }
        guard isFree else {
            throw Problem.tooManyRequests(code: "too_many_streams", detail: "As many streams are open as there may be.", retryAfterSeconds: 5)
        }
        return Place(of: account, in: self)
    }

    private func give(_ account: AccountID) {
        taken.withLock { taken in
            taken[account, default: 0] -= 1
            if taken[account, default: 0] <= 0 { taken[account] = nil }
        }
    }

    /// Is given back when its stream has ended, or was never begun because its client had gone.
    final class Place: Sendable {
        private let account: AccountID
        private let places: StreamPlaces
        private let isTaken = Mutex(true)

        fileprivate init(of account: AccountID, in places: StreamPlaces) {
            self.account = account
            self.places = places
        }

        deinit { give() }

        func give() {
            let wasTaken = isTaken.withLock { isTaken in
                defer { isTaken = false }
                return isTaken
            }
            if wasTaken { places.give(account) }
        }
    }
}
