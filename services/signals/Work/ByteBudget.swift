import Synchronization

/// Bounds how many bytes of files are in memory at once; a file that is larger than the whole budget may be there alone.
final class ByteBudget: Sendable {
    /// The right to some bytes, given back when nobody holds it any more.
    final class Share: Sendable {
        private let budget: ByteBudget
        private let bytes: Int

        fileprivate init(budget: ByteBudget, bytes: Int) {
            self.budget = budget
            self.bytes = bytes
        }

        deinit { budget.taken.withLock { $0 -= bytes } }
    }

    private let maximumBytes: Int
    private let taken = Mutex(0)

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// Nil when there is no room at the moment.
    func take(_ bytes: Int) -> Share? {
        let hasRoom = taken.withLock { taken in
            guard taken == 0 || taken + bytes <= maximumBytes else { return false }
            taken += bytes
            return true
        }
        return hasRoom ? Share(budget: self, bytes: bytes) : nil
    }
}
