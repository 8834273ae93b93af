import Contracts
import Schedules

/// A stretch of the past in pieces that a market can be asked about, in order.
struct PastPieces: Sendable {
    /// Marketdata says the sessions of 400 days at once, and is asked for those as well that began before a piece.
    static let longest = Duration.seconds(380 * 86_400)

    private var position: Timestamp
    private let through: Timestamp
    private let grid: ScheduleGrid?

    /// - Parameter grid: what it is not due in is left out: a rare grid is asked about in the years only in which it has something.
    init(of stretch: Backfill.Stretch, whereDue grid: ScheduleGrid? = nil) {
        position = stretch.after
        through = stretch.through
        self.grid = grid
    }

    /// The next of them, so many at most; none when there are no more.
    mutating func next(_ count: Int) -> [Backfill.Stretch] {
        var pieces: [Backfill.Stretch] = []
        while pieces.count < count, position < through {
            if let grid {
                guard let due = grid.next(after: position), due <= through else {
                    position = through
                    break
                }
                position = due - .microseconds(1)
            }
            let piece = Backfill.Stretch(after: position, through: min(through, position + Self.longest))
            pieces.append(piece)
            position = piece.through
        }
        return pieces
    }
}
