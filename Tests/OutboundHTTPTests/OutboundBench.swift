import Foundation
import OutboundHTTP
import ServiceRuntime
import TestSupport

/// A simulator, and what talks to it, on one loop; never through a proxy of the machine.
struct OutboundBench: Sendable {
    let loop: EventLoop
    let simulator: WebSimulator

    static func with(_ body: @escaping @Sendable (OutboundBench) async throws -> Void) async throws {
        try await withLoop { loop in
            let simulator = try await WebSimulator.start(on: loop)
            do { try await body(OutboundBench(loop: loop, simulator: simulator)) } catch {
                await simulator.stop()
                throw error
            }
            await simulator.stop()
        }
    }

    var configuration: OutboundConfiguration {
        var configuration = OutboundConfiguration()
        configuration.proxy = .none
        return configuration
    }

    func client(_ change: (inout OutboundConfiguration) -> Void = { _ in }) -> OutboundClient {
        var configuration = configuration
        change(&configuration)
        return OutboundClient(loop: loop, configuration: configuration)
    }

    /// A WebSocket to the simulator, agreed on.
    func webSocket(
        _ path: String = "/feed",
        time: any TimeSource = SystemTimeSource(),
        _ change: (inout WebSocketConfiguration) -> Void = { _ in }
    ) async throws -> WebSocketConnection {
        simulator.reply { _ in .webSocket }
        var configuration = WebSocketConfiguration()
        configuration.outbound = self.configuration
        change(&configuration)
        return try await WebSocketConnection.connect(to: simulator.webSocketURL + path, on: loop, time: time, configuration: configuration)
    }

    /// Lends a door to the simulator that speaks TLS: its port on localhost, and the file of the authority that vouches for it.
    func withTLS(_ body: (_ port: Int, _ authority: String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "auspex-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "tls_front.py").path()
        let front = try await ChildProgram.start(
            ["python3", script, folder.path(), "\(simulator.port)", "\(getpid())"],
            environment: ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"],
            on: loop
        )
        func stop() async {
            front.signal(SIGKILL)
            _ = await front.waitForExit()
        }
        do {
            let port = try await eventuallyValue("the port of the TLS door") { () -> Int? in
                guard front.exit == nil else { throw TestSupportError("the TLS door did not open: \(String(describing: front.exit))") }
                return try? Int(String(contentsOf: folder.appending(path: "port"), encoding: .utf8))
            }
            try await body(port, folder.appending(path: "ca.pem").path())
        } catch {
            await stop()
            throw error
        }
        await stop()
    }
}

func text(_ message: WebSocketMessage?) -> String? {
    if case .text(let bytes) = message { String(decoding: bytes, as: UTF8.self) } else { nil }
}
