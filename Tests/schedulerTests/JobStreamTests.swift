import BlobStore
import Contracts
import Cryptography
import Foundation
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// Streams of jobs: nothing is lost, whoever serves them and however transactions commit.
@Suite(.enabled(if: TestServers.hasPostgres))
struct JobStreamTests {
    /// A replica: the store, the doors and a server of its own, on a database that it may share.
    private struct Replica {
        let pool: PostgresPool
        let store: PostgresSchedulerStore
        let feeds: JobFeeds
        let server: HTTPServer
        let loop: EventLoop
        let port: Int
        let credentials: TestCredentials

        init(_ database: TestDatabase, credentials: TestCredentials, blobs: any BlobStore) async throws {
            let loop = try EventLoop.start(name: "replica")
            let pool = PostgresPool(configuration: patientConfiguration(database, maximumConnections: 4), loops: [loop])
            try await pool.start()
            let notices = JobNotices(pool: pool, loop: loop)
            let store = PostgresSchedulerStore(
                pool: pool,
                outbox: Outbox(schema: Migrations.schema),
                news: JobNews(changed: { notices.note($0) })
            )
            let door = StreamDoor(keys: credentials.apiKeys, denied: credentials.denied, time: SystemTimeSource())
            let feeds = JobFeeds(store: store, door: door, loop: loop, time: SystemTimeSource())
            try await feeds.start()
            let routes = SchedulerRoutes(
                store: store,
                intake: JobIntake(store: store, loop: loop) { _ in },
                desk: ClaimDesk(store: store, blobs: blobs, signingKey: credentials.tokenKey, time: SystemTimeSource()),
                blobs: blobs,
                jobDoors: JobDoors(store: store, feeds: feeds, time: SystemTimeSource())
            )
            let router = routes.publicRouter(UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys))
            server = HTTPServer(name: "replica", address: "127.0.0.1", port: 0, router: router, loops: [loop], limits: HTTPLimits(accessLog: false))
            try await server.start()
            (self.pool, self.store, self.feeds, self.loop, self.credentials) = (pool, store, feeds, loop, credentials)
            port = server.boundPort
        }

        func listen(_ path: String = "/api/jobs/stream", account: AccountID = Fixture.account, after: Int64? = nil) async throws -> EventListener {
            let token = try credentials.token(account: account, roles: ["provider"])
            return try await .open(port: port, path: path, headers: [("Authorization", "Bearer \(token)")], lastEventID: after.map(String.init))
        }

        func stop() async {
            await server.stop()
            await feeds.stop()
            await pool.stop()
            await loop.stop()
        }
    }

    private func withReplicas(_ count: Int = 1, _ body: @Sendable ([Replica]) async throws -> Void) async throws {
        try await withDatabase(service: "scheduler", catalogue: try Migrations.catalogue()) { database in
            let credentials = try TestCredentials()
            let root = FileManager.default.temporaryDirectory.appending(path: "auspex-streams-\(UUID().uuidString)")
            let cpu = try CPUPool(threads: 1)
            defer {
                cpu.stop()
                try? FileManager.default.removeItem(at: root)
            }
            let blobs = try FolderBlobStore(root: root.path(), service: "scheduler", pool: cpu)
            var replicas: [Replica] = []
            for _ in 0..<count { replicas.append(try await Replica(database, credentials: credentials, blobs: blobs)) }
            do {
                try await body(replicas)
            } catch {
                for replica in replicas { await replica.stop() }
                throw error
            }
            for replica in replicas { await replica.stop() }
        }
    }

    /// The first line of an answer that is no stream.
    private func refusal(_ open: () async throws -> EventListener) async -> String? {
        do {
            await (try await open()).finish()
            return nil
        } catch {
            return String("\(error)".prefix { !$0.isNewline })
        }
    }

    private func run(_ key: String) -> NewJob { Fixture.job(key, kind: .dryRun) }

    @Test func everyChangeOfAJobIsToldUntilItsEnd() async throws {
        try await withReplicas { replicas in
            let replica = replicas[0]
            let job = run("a")
            _ = try await replica.store.insert([job])
            let reader = try await replica.listen("/api/jobs/\(job.id)/stream")
            #expect(await reader.next()?.state == "pending")
            let claimed = try #require(try await replica.store.claim(Fixture.claim()).first)
            #expect(await reader.next()?.state == "running")
            _ = try await replica.store.renew([LeaseRenewal(jobID: job.id, attemptID: try #require(claimed.attemptID), progress: 40)])
            let progress = await reader.next()
            #expect(progress?.data["progress"]?.integer == 40)
            _ = try await replica.store.finish([try Fixture.finished(claimed, result: ["large": "result"], log: "printed")])
            let end = try #require(await reader.next())
            #expect(end.state == "completed" && end.place == end.version && end.version ?? 0 > progress?.version ?? 0)
            #expect(end.data["result"]?.isNull ?? true)
            #expect(await reader.next() == nil)
            #expect(await reader.comments.last == "the job has ended")
            // Who comes back with the last version has nothing more to wait for.
            #expect(await refusal { try await replica.listen("/api/jobs/\(job.id)/stream", after: end.place) } == "HTTP/1.1 204 No Content")
            let again = try await replica.listen("/api/jobs/\(job.id)/stream", after: 1)
            #expect(await again.events { _ in false }.map(\.state) == ["completed"])
            await again.finish()
            await reader.finish()
        }
    }

    @Test func anAccountHearsItsOwnJobsAtAnyReplica() async throws {
        try await withReplicas(2) { replicas in
            let reader = try await replicas[0].listen()
            #expect(await reader.next()?.name == "mark")
            let mine = run("mine")
            _ = try await replicas[1].store.insert([
                Fixture.job("other's", account: .make(), kind: .dryRun), Fixture.job("platform's", kind: .settlement), mine,
            ])
            let first = try #require(await reader.next())
            #expect(first.job == mine.id && first.state == "pending" && first.id != nil)
            _ = try await replicas[1].store.cancel(mine.id)
            #expect(await reader.next()?.state == "cancelled")
            await reader.finish()
        }
    }

    @Test func whoComesBackIsToldWhatItMissed() async throws {
        try await withReplicas(2) { replicas in
            let (first, second) = (run("first"), run("second"))
            _ = try await replicas[0].store.insert([first])
            let reader = try await replicas[0].listen()
            let mark = try #require(await reader.next()?.place)
            _ = try await replicas[0].store.insert([second])
            // A transaction of somebody else that has not ended may have the first one told as well.
            let last = try #require(await reader.events { $0.job == second.id }.last?.place)
            await reader.finish()
            _ = try await replicas[0].store.cancel(first.id)
            let later = try await replicas[1].listen(after: last)
            let told = await later.events { $0.job == first.id && $0.state == "cancelled" }
            #expect(told.last?.id != nil)
            let all = try await replicas[1].listen(after: mark)
            #expect(Set(await all.events { $0.id != nil }.compactMap(\.job)).isSuperset(of: [first.id, second.id]))
            await later.finish()
            await all.finish()
        }
    }

    @Test func aChangeThatCommitsLateIsNotLost() async throws {
        try await withReplicas { replicas in
            let replica = replicas[0]
            let (early, late) = (run("early"), run("late"))
            let isWritten = TestSignal<Void>()
            let mayCommit = Gate()
            let reader = try await replica.listen()
            #expect(await reader.next()?.name == "mark")
            async let slow: Void = replica.store.transaction { transaction in
                _ = try await transaction.insert([late])
                isWritten.signal(())
                try await mayCommit.pass()
            }
            try await isWritten.next()
            // Its number is higher, and it commits first.
            _ = try await replica.store.insert([early])
            let first = try #require(await reader.next())
            #expect(first.job == early.id)
            await reader.finish()
            mayCommit.open()
            try await slow
            // With the id that it got beside the earlier one, the client is told of the one that was not committed then.
            let again = try await replica.listen(after: first.place)
            let missed = await again.events { $0.id != nil }
            #expect(missed.contains { $0.job == late.id })
            await again.finish()
        }
    }

    @Test func oneLookServesAllWhoListen() async throws {
        try await withReplicas { replicas in
            let replica = replicas[0]
            var readers: [EventListener] = []
            for _ in 0..<20 {
                let reader = try await replica.listen()
                #expect(await reader.next()?.name == "mark")
                readers.append(reader)
            }
            let before = await replica.feeds.looks
            _ = try await replica.store.insert([run("a")])
            for reader in readers { #expect(await reader.next()?.name == "job") }
            // One, and one more for each round or further notice that came in between: not one a listener.
            #expect(await replica.feeds.looks - before < readers.count)
            for reader in readers { await reader.finish() }
        }
    }

    @Test("While somebody's transaction is open, each change is read once", .timeLimit(.minutes(10))) func openTransactionElsewhere() async throws {
        try await withReplicas { replicas in
            let replica = replicas[0]
            let isWritten = TestSignal<Void>()
            let mayCommit = Gate()
            let reader = try await replica.listen()
            #expect(await reader.next()?.name == "mark")
            async let slow: Void = replica.store.transaction { transaction in
                _ = try await transaction.insert([Fixture.job("elsewhere", account: .make(), kind: .dryRun)])
                isWritten.signal(())
                try await mayCommit.pass()
            }
            try await isWritten.next()
            for index in 0..<10 {
                let job = run("\(index)")
                _ = try await replica.store.insert([job])
                #expect(try #require(await reader.next()).job == job.id)
            }
            #expect(await replica.feeds.jobsRead == 10)
            mayCommit.open()
            try await slow
            await reader.finish()
        }
    }

    @Test("Where more lies above an open transaction than is told, the list is read again", .timeLimit(.minutes(10))) func tooMuchToTell()
        async throws
    {
        try await withReplicas { replicas in
            let replica = replicas[0]
            let isWritten = TestSignal<Void>()
            let mayCommit = Gate()
            let reader = try await replica.listen()
            #expect(await reader.next()?.name == "mark")
            async let slow: Void = replica.store.transaction { transaction in
                _ = try await transaction.insert([Fixture.job("elsewhere", account: .make(), kind: .dryRun)])
                isWritten.signal(())
                try await mayCommit.pass()
            }
            try await isWritten.next()
            _ = try await replica.store.insert((0...JobFeeds.mostMissed).map { run("\($0)") })
            #expect(await reader.next()?.name == "reset")
            #expect(await replica.feeds.jobsRead == 0)
            mayCommit.open()
            try await slow
            await reader.finish()
        }
    }

    @Test func streamsEndWithTheirCredentialsAndRefuseStrangers() async throws {
        try await withReplicas { replicas in
            let replica = replicas[0]
            let key = replica.credentials.apiKeys.make(account: Fixture.account, roles: ["provider"], scopes: ["jobs:write"])
            let reader = try await EventListener.open(port: replica.port, path: "/api/jobs/stream", headers: [("X-API-Key", key.text)])
            #expect(await reader.next()?.name == "mark")
            replica.credentials.apiKeys.forget(key)
            #expect(await reader.next() == nil)
            #expect(await reader.comments.last == "this key has ended")
            let job = run("a")
            _ = try await replica.store.insert([job])
            #expect(await refusal { try await replica.listen("/api/jobs/\(job.id)/stream", account: .make()) } == "HTTP/1.1 404 Not Found")
            #expect(await refusal { try await replica.listen("/api/jobs/stream?after=x") } == "HTTP/1.1 400 Bad Request")
            await reader.finish()
        }
    }
}

extension EventListener.Event {
    fileprivate var state: String? { self["state"] }
    fileprivate var version: Int64? { data["version"]?.integer }
    fileprivate var job: JobID? { self["job_id"].flatMap { JobID($0) } }
}
