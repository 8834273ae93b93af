/// How much one question for bars may cost.
struct ReadLimits: Sendable {
    /// Stored bars that one request may read at most: a year and a half of seconds around the clock.
    var baseRows = 50_000_000
    /// Up to so many are put together on the spot for the platform itself, and the answer is not remembered: two or three days of minutes take less time
    /// than the way to another thread, or to Redis and back.
    var lightRows = 5_000
    /// The same in chunks: a few rows a day may be years of days, each with a cost of its own. More than this are too much for a loop.
    var lightChunks = 200
    /// An answer of up to so many is written on the spot in the binary form, which is the columns as they are; writing more, or text, is too much for a loop.
    var lightAnswerBars = 2_000
    /// From so many on a request waits for its turn: three days of seconds.
    var heavyRows = 260_000
    /// Memory for days that are kept decoded: about 75 days of seconds.
    var decodedBytes = 64 << 20
    /// Held at once: a day of seconds.
    var runRows = 90_000
    /// Heavy requests that read at once.
    var heavyReads = 2
    /// Heavy requests that wait; one more is refused.
    var heavyReadsWaiting = 16
    /// How long they wait.
    var heavyReadWait = Duration.seconds(5)

    /// Cuts days, in order of time, into runs that can be held at once; a single day is one however long it is.
    func runs(of choices: [DayChoice]) -> [ArraySlice<DayChoice>] {
        var runs: [ArraySlice<DayChoice>] = []
        var first = 0
        var rows = 0
        for (index, choice) in choices.enumerated() {
            if index > first, rows + choice.rows > runRows || index - first >= 400 {
                runs.append(choices[first..<index])
                first = index
                rows = 0
            }
            rows += choice.rows
        }
        if first < choices.count { runs.append(choices[first...]) }
        return runs
    }
}

/// For whom bars are read. Each has places of its own for what is long: nobody's question may keep a run from its bars.
enum ReadPurpose: Sendable, Hashable, CaseIterable {
    /// Somebody with a page or a program.
    case people
    /// A run, an outcome, the feed of a replay.
    case platform
}
