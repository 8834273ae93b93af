import Contracts
import HTTPServing

/// The jobs of an account, for all who listen to it or to one of them.
///
/// Unchecked because it belongs to ``JobFeeds``, which touches it on its loop only.
final class JobFeed: @unchecked Sendable {
    let account: AccountID
    /// Every change by a transaction below this one has been told.
    var settledBelow: Int64
    /// Versions that have been told of jobs that were changed since then.
    private var told: [JobID: Int64] = [:]
    /// Those who listen to all jobs that the account may see.
    let group = EventGroup()
    var listeners: [Int: JobListener] = [:]
    /// Those who listen to one job.
    var jobListeners: [JobID: [Int: JobListener]] = [:]
    var isReading = false
    /// Something changed while it was being read.
    var mustRead = false
    /// Of what its listeners read the list again, when there was more than is told; nil when there was not.
    var resetAt: [Int64]?

    init(account: AccountID, settledBelow: Int64) {
        self.account = account
        self.settledBelow = settledBelow
    }

    var isAlone: Bool { listeners.isEmpty && jobListeners.isEmpty }

    /// Those of which something is to be told.
    func untold(_ marks: [JobChanges.Marks.Mark]) -> [JobID] { marks.filter { told[$0.id] != $0.version }.map(\.id) }

    /// Notes that all of this has been told.
    func note(_ look: JobChanges.Marks) {
        settledBelow = max(settledBelow, look.settledBelow)
        told = [:]
        for mark in look.marks where mark.transaction >= settledBelow { told[mark.id] = mark.version }
    }
}

/// One client.
final class JobListener: @unchecked Sendable {
    let stream: EventStream
    let visitor: StreamDoor.Visitor
    /// Of the one job that it listens to: the last version that it was told.
    var version: Int64

    init(stream: EventStream, visitor: StreamDoor.Visitor, version: Int64 = 0) {
        self.stream = stream
        self.visitor = visitor
        self.version = version
    }
}

/// What a stream of jobs says.
enum JobEvent {
    /// A job as it is now, without spec, result and log.
    static func job(_ job: Job, id: Int64?) throws -> [UInt8] {
        EventStream.encode(id: id.map { String($0) }, event: "job", data: try data(job))
    }

    static func data(_ job: Job) throws -> String { String(decoding: try WireJSON.encode(JobAnswer(job, withResult: false)), as: UTF8.self) }

    /// Everything before this id has been told.
    static func mark(_ id: Int64) -> [UInt8] { EventStream.encode(id: String(id), event: "mark", data: "{}") }

    /// More has changed than a stream repeats: what is missing is read by `GET /api/jobs`.
    static func reset(_ id: Int64) -> [UInt8] { EventStream.encode(id: String(id), event: "reset", data: "{}") }

    /// Jobs in one piece, of which the last carries the id.
    static func jobs(_ jobs: [Job], id: Int64) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for (place, one) in jobs.enumerated() { bytes += try job(one, id: place == jobs.count - 1 ? id : nil) }
        return bytes
    }
}
