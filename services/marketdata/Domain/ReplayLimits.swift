/// How many replays may run at once: each takes a place in the feed and a commit a release, and nobody may take all of them.
struct ReplayLimits: Sendable {
    /// Running replays of one account; paused ones do not count.
    var perAccount = 4
    /// Running replays of all accounts.
    var total = 64

    /// Throws when one more would be too many.
    func admit(running: (own: Int, all: Int)) throws(MarketdataError) {
        guard running.own < perAccount else { throw .tooManyReplays(perAccount) }
        guard running.all < total else { throw .noRoomForReplays }
    }
}
