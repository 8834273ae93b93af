import Contracts
import FoundationEssentials
import ServiceRuntime

/// Keeps the feed of one source running on one replica: takes its lease, runs it, and begins again after a failure where it had closed.
///
/// A source that is away is a state of its subscriptions and says nothing about readiness: what is stored is served without it.
final class LiveFeed: Component {
    let name: String
    static let leaseSeconds = 5

    private let parts: LiveSession.Parts
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("live-feed")

    init(_ parts: LiveSession.Parts, loop: EventLoop) {
        name = "live feed of \(parts.source.description.id)"
        self.parts = parts
        self.loop = loop
    }

    /// Whoever has the lease is told apart by it.
    static func runner() -> String { "marketdata-" + UUID().uuidString.lowercased() }

    func start() async throws { work.start(on: loop) { [self] in await keepRunning() } }

    /// Ends the feed and gives its lease back, so that another replica goes on at once.
    func stop() async {
        await work.stop()
        // Not in its own task: cancelled, it can no longer ask the database for anything.
        try? await parts.live.release(feed: parts.source.description.id, runner: parts.runner)
    }

    private func keepRunning() async {
        let source = parts.source.description.id
        while !Task.isCancelled {
            do {
                if try await parts.live.claim(feed: source, runner: parts.runner, leaseSeconds: Self.leaseSeconds) {
                    logger.notice("this replica runs the live feed", ["source": .string(source)])
                    try await LiveSession(parts, loop: loop).run()
                }
            } catch  where Task.isCancelled {
                return
            } catch is LiveSession.LeaseLost {
                logger.notice("another replica runs the live feed now", ["source": .string(source)])
            } catch {
                logger.warning("the live feed stumbled; it goes on where it had closed", ["source": .string(source), "error": .string("\(error)")])
            }
            guard (try? await parts.time.sleep(for: .seconds(1))) != nil else { return }
        }
    }
}
