internal import ServiceRuntime
internal import Synchronization

/// Streams that are sent the same: the bytes are made once and handed to all, without a copy for each and without a task for each.
///
/// A loop is visited once a `send`, however many of its clients are in the group. Calls from one thread take effect in their order. A client that takes too
/// little is cut off by its own connection (``HTTPLimits/maximumUnsentEventBytes``) and holds up nobody.
public final class EventGroup: Sendable {
    /// The clients of one loop.
    ///
    /// Unchecked because `members` is touched on that loop only.
    private final class Roster: @unchecked Sendable {
        let loop: EventLoop
        var members: [Member] = []

        init(loop: EventLoop) { self.loop = loop }

        func place(of client: EventStreamClient) -> Int? { members.firstIndex { $0.client === client } }

        func send(_ bytes: [UInt8]) {
            var place = 0
            while place < members.count {
                if members[place].take(bytes) {
                    place += 1
                } else {
                    members.swapAt(place, members.count - 1)
                    members.removeLast()
                }
            }
        }
    }

    private struct Member {
        let client: EventStreamClient
        /// What was sent while the client is not ready for it.
        var waiting: [[UInt8]]?

        /// False when the client has gone.
        mutating func take(_ bytes: [UInt8]) -> Bool {
            if waiting == nil { return client.write(bytes) }
            waiting?.append(bytes)
            return client.connection != nil
        }
    }

    private let rosters = Mutex<[Roster]>([])

    /// Nobody yet.
    public init() {}

    /// Adds a stream. What is sent to the group is kept back for it until ``begin(_:with:)``, so that what came before can be looked up meanwhile.
    public func join(_ stream: EventStream) {
        let client = stream.client
        let roster = rosters.withLock { rosters in
            if let known = rosters.first(where: { $0.loop === client.loop }) { return known }
            let made = Roster(loop: client.loop)
            rosters.append(made)
            return made
        }
        client.loop.execute { roster.members.append(Member(client: client, waiting: [])) }
    }

    /// Sends a stream its beginning, then what was kept back, and from now on what the group is sent.
    public func begin(_ stream: EventStream, with bytes: [UInt8]) {
        let client = stream.client
        guard let roster = roster(of: client) else { return }
        client.loop.execute {
            guard let place = roster.place(of: client), let waiting = roster.members[place].waiting else { return }
            roster.members[place].waiting = nil
            for piece in [bytes] + waiting where !piece.isEmpty && !client.write(piece) {
                roster.members.remove(at: place)
                return
            }
        }
    }

    /// Takes a stream out; one that has ended leaves by itself when something is sent.
    public func leave(_ stream: EventStream) {
        let client = stream.client
        guard let roster = roster(of: client) else { return }
        client.loop.execute { if let place = roster.place(of: client) { roster.members.remove(at: place) } }
    }

    /// Sends events (``EventStream/encode(id:event:data:)``) to all streams of the group.
    public func send(_ bytes: [UInt8]) {
        for roster in rosters.withLock({ $0 }) {
            roster.loop.execute {
                roster.loop.activity = "events to \(roster.members.count) streams"
                roster.send(bytes)
            }
        }
    }

    private func roster(of client: EventStreamClient) -> Roster? { rosters.withLock { $0.first { $0.loop === client.loop } } }
}
