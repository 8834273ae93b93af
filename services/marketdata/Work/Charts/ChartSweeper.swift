import ServiceRuntime

/// Deletes what chart sessions that have ended leave behind, and nothing else: their rows, their charts, and their answers in this process.
final class ChartSweeper: Component {
    let name = "chart sessions"
    /// More often than the deny set forgets: a revoked login is found while it is in there.
    static let interval = Duration.seconds(30)

    private let sessions: ChartSessions
    private let bodies: ChartBodies
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("charts")

    init(sessions: ChartSessions, bodies: ChartBodies, time: any TimeSource, loop: EventLoop) {
        self.sessions = sessions
        self.bodies = bodies
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time, pausesFirst: true) { [self] in await round() }
    }

    func stop() async { await work.stop() }

    /// One look at all sessions.
    func round() async {
        do {
            let gone = try await sessions.sweep(holding: bodies.sessions)
            bodies.remove(of: gone)
        } catch {
            logger.warning("chart sessions were not cleaned up; trying again in half a minute", ["reason": .string("\(error)")])
        }
    }
}
