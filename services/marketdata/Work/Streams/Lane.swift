import Contracts
import HTTPServing

/// A topic that is followed, for all who listen to it.
///
/// Unchecked because it belongs to ``BarStreams``, which touches it on its loop only.
final class Lane: @unchecked Sendable {
    /// What listeners have been told, or are being told.
    var view: TopicView
    /// What is known by this moment is to be told.
    var target: Timestamp
    /// Somebody waits for the proof that nothing was missed up to this moment; there is no hurry.
    var confirmation: Timestamp
    /// The moment that is being read.
    var reading: Timestamp?
    /// Whether its turn is over for a while: after long reads, and after a failed one.
    var isResting = false
    var failures = 0
    /// How long the last read took (nanoseconds).
    var lastRead: UInt64 = 0
    var audiences: [Audience] = []
    var waiting: [CheckedContinuation<Void, any Error>] = []
    /// Since when nobody listens (nanoseconds, monotonic).
    var idleSince: UInt64?

    init(_ view: TopicView) {
        self.view = view
        target = view.through
        confirmation = view.through
    }

    var topic: StreamTopic { view.topic }

    func landed(_ result: Result<Void, any Error>) {
        let waiting = waiting
        self.waiting = []
        for one in waiting { one.resume(with: result) }
    }
}

/// Those who listen to the same topics: they are sent the same bytes.
///
/// Unchecked because it belongs to ``BarStreams``, which touches it on its loop only.
final class Audience: @unchecked Sendable {
    let lanes: [Lane]
    let group = EventGroup()
    var listeners: [Int: Listener] = [:]
    /// Events that wait for those of the other topics, with the moments by which they were known.
    private var pending: [(moment: Timestamp, bytes: [UInt8])] = []
    /// The latest moment of which something was sent.
    private(set) var sentThrough: Timestamp
    /// The last id that was sent: everything known by then was sent before it.
    private(set) var marked: Timestamp

    /// One client.
    struct Listener {
        let stream: EventStream
        let credential: StreamAdmission.Credential
    }

    init(_ lanes: [Lane]) {
        self.lanes = lanes
        marked = lanes.map(\.view.through).min() ?? .distantPast
        sentThrough = marked
    }

    /// The moment by which everything known was told, of all topics.
    var completeThrough: Timestamp { lanes.map(\.view.through).min() ?? .distantPast }

    /// Takes one more in, and gives the views that the others have been told of: what comes later is kept back for it until it begins.
    func admit(_ listener: Listener, as number: Int) -> [TopicView] {
        // What the views say already must not be told again.
        flush(atOnce: true)
        listeners[number] = listener
        group.join(listener.stream)
        sentThrough = max(sentThrough, lanes.map(\.view.through).max() ?? sentThrough)
        return lanes.map(\.view)
    }

    /// Nobody has said anything of topics that lag behind what was told of others, which proves nothing: a stamp may be older than its commit.
    func askForProof() {
        guard sentThrough > marked else { return }
        for lane in lanes where lane.view.through < sentThrough { lane.confirmation = max(lane.confirmation, sentThrough) }
    }

    func add(_ events: [[UInt8]], knownBy moment: Timestamp) {
        pending += events.map { (moment, $0) }
    }

    /// Sends what can be sent. What was known by the moment that all topics have come to goes out with that moment as its id, so that nobody who comes
    /// back with it is told again. What came later waits while another topic is being read, whose events may belong before it; not for one that is
    /// silent or rests, and not `atOnce`.
    func flush(atOnce: Bool = false) {
        let complete = completeThrough
        let isNew = complete > marked
        let isReading = !atOnce && lanes.contains { $0.reading != nil }
        var settled = pending.filter { $0.moment <= complete }.map(\.bytes)
        let open = isReading ? [] : pending.filter { $0.moment > complete }
        if settled.isEmpty, isNew, sentThrough > marked { settled = [StreamEvent.mark(complete)] }
        guard !settled.isEmpty || !open.isEmpty else { return }
        group.send(StreamEvent.joined(settled, id: isNew ? complete : nil) + StreamEvent.joined(open.map(\.bytes), id: nil))
        if isNew, !settled.isEmpty { marked = complete }
        sentThrough = max(sentThrough, marked, open.map(\.moment).max() ?? marked)
        pending = isReading ? pending.filter { $0.moment > complete } : []
    }
}
