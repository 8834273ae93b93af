import Bars
import Contracts
import Cryptography

/// What an answer is made of, and from where that is looked at: everything besides the question itself by which two answers can differ.
///
/// The reader's key and a chart's mark both hold the whole text of it, so what answers come to depend on is added here and is in both.
struct AnswerBasis: Sendable {
    var plan: BarPlan
    var view: KnowledgeView
    /// Tells the calendar from others of its name: a half day that becomes known late moves the bars of that day.
    var calendar: String
    /// The chunks that the answer is made of, or may be.
    var infos: [ChunkInfo]

    /// Equal for as long as answers are. The moment counts only if it lies before the end of the last bar, or less than `slack` microseconds behind it.
    func text(slack: Int64 = 0) -> String {
        // The grid and the filter follow from anchor, session, intervals and calendar, the sides from the price.
        var text = "\(view.source.id) \(plan.interval.text) \(plan.price.rawValue) \(plan.session.rawValue) \(plan.anchor.rawValue) "
        text += "\(plan.intervals) \(plan.addsVolumes) \(calendar) "
        let last = infos.map(\.lastEnd).max() ?? 0
        var settled = last
        if case .bucket(_, let end, _) = plan.grid.slot(at: last - 1) { settled = max(last, end) }
        // While not all of it is known yet, each moment has an answer of its own.
        text += view.cut >= settled &+ slack ? "all" : "\(view.cut)"
        // A moment inside what a feed told is an answer of its own, whatever ended by then.
        if infos.contains(where: { $0.live.map { $0.lastKnownAt > view.recordedBy } ?? false }) { text += " by \(view.recordedBy)" }
        for info in infos { text += " \(info.text)" }
        return text
    }

    /// Under which the answer to a question is remembered: what was asked, and on what it rests. `isLast` says that there are no more days: fewer bars than
    /// asked are an answer only as long as that is so.
    func key(of request: BarRequest, adjustment: AdjustmentView?, isLast: Bool) -> SHA256Digest {
        func text(_ number: Int64?) -> String { number.map(String.init) ?? "none" }
        var key = "bars3 \(text(request.start?.microseconds)) \(text(request.end?.microseconds)) \(text(request.countback.map(Int64.init))) "
        key += "\(request.limit) \(request.partial) \(isLast ? "last" : "more") \(adjustment?.fingerprint ?? "raw") \(self.text())"
        return SHA256.digest(utf8: key)
    }
}
