import Contracts
import HTTPServing
import ServiceRuntime

/// Asks the scheduler every few seconds what is due soon, so that sandboxes are warm by then.
///
/// The answer is a hint: what is lost is warmed five seconds later, or runs cold.
final class Announcements: Component {
    let name = "announcements"

    static let period = Duration.seconds(5)
    /// Three rounds: one that fails costs nothing.
    static let horizonSeconds = 15
    /// After an answer that says that this scheduler does not announce.
    static let periodWithout = Duration.seconds(60)

    private let worker: String
    private let scheduler: ServiceClient
    private let handler: SignalRunHandler
    private let pool: WarmPool
    private let cpu: CPUPool
    private let loop: EventLoop
    private let time: any TimeSource
    private let logger = Logger("warm")
    private let task = BackgroundTask()

    /// Wants what `handler` will run from `pool`.
    init(
        worker: String,
        scheduler: ServiceClient,
        handler: SignalRunHandler,
        pool: WarmPool,
        cpu: CPUPool,
        loop: EventLoop,
        time: any TimeSource
    ) {
        self.cpu = cpu
        self.worker = worker
        self.scheduler = scheduler
        self.handler = handler
        self.pool = pool
        self.loop = loop
        self.time = time
    }

    func start() async throws {
        guard pool.isOpen else { return }
        task.start(on: loop) { [self] in
            repeat {
                let pause = await ask()
                guard (try? await time.sleep(for: pause)) != nil else { return }
            } while !Task.isCancelled
        }
    }

    func stop() async { await task.stop() }

    /// One round; gives the pause until the next.
    func ask() async -> Duration {
        let requests: [WarmRequest]
        do {
            let question = try WireJSON.encode(AnnouncementsRequest(worker: worker, horizonSeconds: Self.horizonSeconds))
            var headers = Headers()
            headers["Content-Type"] = "application/json"
            let path = "/internal/v1/announcements"
            let answer = try await scheduler.send(.post, path, headers: headers, body: question, isIdempotent: true)
            // A thousand manifests are too much for a loop.
            requests = try await cpu.run { try WireJSON.decode(AnnouncementsAnswer.self, from: answer.body).announcements.map(Self.request) }
        } catch let error as ServiceClientError where error.status == 404 || error.status == 405 {
            logger.notice("the scheduler does not announce runs; they start cold")
            return Self.periodWithout
        } catch {
            // Its absence is told by the worker, which needs it more.
            logger.debug("nothing was announced", ["error": .string("\(error)")])
            return Self.period
        }
        handler.want(requests)
        return Self.period
    }

    private static func request(_ announcement: Announcement) -> WarmRequest {
        WarmRequest(
            key: WarmKey(
                accountID: announcement.accountID,
                signalID: announcement.signalID,
                versionSHA256: announcement.versionSHA256,
                files: announcement.files,
                resourceClass: announcement.manifest.class
            ),
            dueAt: announcement.dueAt,
            files: announcement.files,
            manifest: announcement.manifest,
            jobToken: announcement.token
        )
    }
}
