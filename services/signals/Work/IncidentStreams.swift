import Contracts
import HTTPServing
import ServiceRuntime

/// Tells providers of troubles as they come: looks once a second how far the accounts have come that somebody listens for, and only while somebody does.
///
/// A stream's ids are revisions of its account, which rise as they are committed, so any replica goes on from one.
actor IncidentStreams: Component {
    nonisolated let name = "incident streams"
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let incidents: IncidentStore
    private let door: StreamDoor
    private let time: any TimeSource
    private let rounds = BackgroundTask()
    private var listeners: [Int: (account: AccountID, news: AsyncStream<Int64>.Continuation)] = [:]
    private var nextListener = 0

    static let round = Duration.seconds(1)
    static let maximumStreams = 500
    private static let page = 100

    init(incidents: IncidentStore, door: StreamDoor, time: any TimeSource, loop: EventLoop) {
        self.incidents = incidents
        self.door = door
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        rounds.start(on: loop, every: Self.round, time: time, pausesFirst: true) { [weak self] in await self?.look() }
    }

    func stop() async {
        await rounds.stop()
        for listener in listeners.values { listener.news.finish() }
    }

    /// How many streams there are.
    var count: Int { listeners.count }

    /// One look at all accounts that somebody listens for.
    func look() async {
        let accounts = Array(Set(listeners.values.map(\.account)))
        // A database that is away is asked again in a second; who listens is told so that it looks after its credential.
        let revisions = accounts.isEmpty ? [:] : (try? await incidents.revisions(of: accounts)) ?? [:]
        for listener in listeners.values { listener.news.yield(revisions[listener.account] ?? 0) }
    }

    /// Serves one stream until it ends: what has changed since `after`, then what changes.
    func serve(_ stream: EventStream, _ account: AccountID, after: Int64?, visitor: StreamDoor.Visitor) async throws {
        let number = nextListener
        nextListener += 1
        let (news, continuation) = AsyncStream.makeStream(of: Int64.self, bufferingPolicy: .bufferingNewest(1))
        listeners[number] = (account, continuation)
        defer { listeners[number] = nil }
        let head = try await incidents.revisions(of: [account])[account] ?? 0
        var reached = min(after ?? head, head)
        // A client that breaks off before the first trouble comes back to where it began.
        guard await stream.send(id: "\(reached)", event: "begin", data: "{}") else { return }
        continuation.yield(head)
        for await revision in news {
            if let reason = await door.refusal(of: visitor) { return stream.end(reason) }
            while revision > reached {
                let changed = try await incidents.changes(of: account, after: reached, limit: Self.page)
                for incident in changed {
                    let data = String(decoding: WireJSON.encode(IncidentAnswers.incident(incident)), as: UTF8.self)
                    guard await stream.send(id: "\(incident.revision)", event: "incident", data: data) else { return }
                    reached = max(reached, incident.revision)
                }
                if changed.count < Self.page { reached = max(reached, revision) }
            }
        }
    }
}
