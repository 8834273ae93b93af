import Contracts

/// The runs of a schedule that have not ended.
struct OpenRuns: Sendable, Hashable {
    /// They wait for the end of others.
    var waiting = 0
    /// They can be claimed, or will be at a moment that is set.
    var pending = 0
    /// A worker has them.
    var running = 0

    var count: Int { waiting + pending + running }
}

/// What becomes of due times while runs of the same schedule have not ended.
///
/// The rules are Temporal's: `buffer_one` keeps the first that had to wait and leaves out what follows, `buffer_all` lets all wait in the order of time,
/// `cancel_other` begins when what it cancelled has ended, `terminate_other` ends the other at once. Where several due times are looked at together,
/// after a time of nobody looking, the latest goes first.
enum OverlapPlan {
    /// How a run begins.
    enum Start: Sendable, Hashable {
        /// It does not mind the others, or there are none.
        case now
        /// When those that have not ended have.
        case afterOthers
        /// Those that nobody runs yet are cancelled, the others asked to stop; it begins when they have ended.
        case cancellingOthers
        /// The others end here.
        case endingOthers

        /// Whether it waits for the end of others.
        var waits: Bool { self == .afterOthers || self == .cancellingOthers }
    }

    /// What becomes of one due time.
    struct Decision: Sendable, Hashable {
        let dueAt: Timestamp
        /// Nil when it does not run.
        let start: Start?
        /// Why it does not.
        var reason: String?
    }

    /// As many runs of one schedule may wait for others.
    static let maximumWaiting = 100

    /// Decides for due times in the order of time; gives them with the present first.
    static func decide(_ dueTimes: [Timestamp], _ rule: OverlapRule, _ open: OpenRuns) -> [Decision] {
        guard let latest = dueTimes.last else { return [] }
        let earlier = dueTimes.dropLast()
        func leftOut(_ times: some Sequence<Timestamp>, _ reason: String = "overlap") -> [Decision] {
            times.map { Decision(dueAt: $0, start: nil, reason: reason) }
        }
        switch rule {
        case .skip:
            if open.count > 0 { return leftOut(dueTimes.reversed()) }
            return [Decision(dueAt: latest, start: .now)] + leftOut(earlier.reversed())
        case .bufferOne:
            var places = open.count == 0 ? [Start.now, .afterOthers] : open.waiting == 0 ? [.afterOthers] : []
            return dueTimes.reversed().map { due in
                places.isEmpty
                    ? Decision(dueAt: due, start: nil, reason: "overlap") : Decision(dueAt: due, start: places.removeFirst())
            }
        case .bufferAll:
            var decisions: [Decision] = []
            var waiting = dueTimes[...]
            if open.count == 0 {
                decisions.append(Decision(dueAt: latest, start: .now))
                waiting = earlier
            }
            let places = max(0, maximumWaiting - open.waiting)
            decisions += waiting.suffix(places).map { Decision(dueAt: $0, start: .afterOthers) }
            return decisions + leftOut(waiting.dropLast(places), "buffer_full")
        case .cancelOther:
            // What waits or can be claimed is cancelled on the spot; only a run that a worker has takes its time.
            let start: Start = open.count == 0 ? .now : open.running == 0 ? .endingOthers : .cancellingOthers
            return [Decision(dueAt: latest, start: start)] + leftOut(earlier.reversed())
        case .terminateOther:
            return [Decision(dueAt: latest, start: open.count == 0 ? .now : .endingOthers)] + leftOut(earlier.reversed())
        case .allowAll: return dueTimes.reversed().map { Decision(dueAt: $0, start: .now) }
        }
    }
}
