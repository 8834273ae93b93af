import HTTPServing
import ServiceRuntime

/// The executor's only door: health, readiness and metrics on the internal port. Nobody calls an executor; it asks for work.
enum OperationalServer {
    /// The server.
    static func make(_ common: CommonSettings, readiness: Readiness, loops: [EventLoop]) -> HTTPServer {
        var router = Router()
        OperationalRoutes(readiness: readiness).add(to: &router)
        return HTTPServer(
            name: "internal",
            address: common.listenAddress,
            port: common.internalPort,
            router: router,
            loops: loops,
            limits: HTTPLimits(accessLog: common.accessLog)
        )
    }
}
