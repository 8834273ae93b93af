import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

/// A package index on a free port of the loopback, with wheels made for the test.
final class FakeIndex: Sendable {
    private struct State {
        var wheels: [String: [(file: String, bytes: [UInt8])]] = [:]
        var downloads: [String] = []
        var isAway = false
        /// Where files are said to be; here unless told.
        var fileHost: String?
    }

    private let state = Mutex(State())
    private let server: HTTPServer
    private let loops: LoopGroup
    private let held = Mutex<TestSignal<Void>?>(nil)
    /// Signals when a file is asked for.
    let asked = TestSignal<Void>()

    init() async throws {
        loops = try LoopGroup.start(count: 1)
        var router = Router()
        let holder = Holder()
        router.get("/simple/{name}") { request in try holder.get().page(request) }
        router.get("/files/{file}") { request in try await holder.get().file(request) }
        server = HTTPServer(
            name: "fake-index",
            address: "127.0.0.1",
            port: 0,
            router: router,
            loops: loops.serving,
            limits: HTTPLimits(accessLog: false)
        )
        holder.set(self)
        try await server.start()
    }

    private final class Holder: Sendable {
        private let value = Mutex<FakeIndex?>(nil)
        func set(_ index: FakeIndex) { value.withLock { $0 = index } }
        func get() throws -> FakeIndex { try #require(value.withLock { $0 }) }
    }

    func stop() async {
        hold(nil)
        await server.stop()
        await loops.stop()
    }

    var port: Int { server.boundPort }
    /// As a setting names it.
    var index: PackageIndex { PackageIndex(environment: [:], choice: .init(url: "http://127.0.0.1:\(port)/simple")) { _ in nil } }
    var downloads: [String] { state.withLock { $0.downloads } }
    func setAway(_ isAway: Bool) { state.withLock { $0.isAway = isAway } }
    func setFileHost(_ host: String?) { state.withLock { $0.fileHost = host } }
    /// Files are given only once the signal came; nil gives them at once.
    func hold(_ signal: TestSignal<Void>?) { held.withLock { $0 = signal } }

    /// Publishes a wheel of one module that knows its version, with so many bytes that do not pack.
    func publish(_ name: String, _ version: String, requires: [String] = [], ballast: Int = 0) throws {
        let folder = SandboxFixture.temporaryFolder
        defer { FileTree.remove(folder) }
        let program = """
            import hashlib, os, sys, zipfile, base64
            folder, name, version, ballast, *requires = sys.argv[1:]
            file = f"{name}-{version}-py3-none-any.whl"
            info = f"{name}-{version}.dist-info"
            metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n" + "".join(f"Requires-Dist: {r}\\n" for r in requires)
            files = {f"{name}.py": f"version = {version!r}\\n".encode(), f"{info}/METADATA": metadata.encode(),
                     f"{info}/WHEEL": b"Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
            if int(ballast): files[f"{name}_ballast.bin"] = os.urandom(int(ballast))
            record = "".join(f"{p},sha256={base64.urlsafe_b64encode(hashlib.sha256(b).digest()).rstrip(b'=').decode()},{len(b)}\\n" for p, b in files.items())
            files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\\n").encode()
            with zipfile.ZipFile(os.path.join(folder, file), "w") as archive:
                for path, data in files.items(): archive.writestr(path, data)
            print(file, end="")
            """
        let made = try ChildProcess.run(path: "/usr/bin/python3", arguments: ["-c", program, folder, name, version, "\(ballast)"] + requires)
        guard made.exitCode == 0, let bytes = FileManager.default.contents(atPath: "\(folder)/\(made.output)") else {
            throw TestSupportError("no wheel: \(made.output)")
        }
        state.withLock { $0.wheels[name, default: []].append((made.output, Array(bytes))) }
    }

    private func page(_ request: Request) throws -> Response {
        let name = try request.parameter("name", as: String.self)
        let (wheels, isAway, host) = state.withLock { ($0.wheels[name], $0.isAway, $0.fileHost) }
        if isAway { throw Problem.unavailable(code: "away", detail: "Try again.") }
        guard let wheels else { throw Problem.notFound(field: "name") }
        let links = wheels.map { wheel in
            let digest = SHA256.digest(wheel.bytes).hex
            return "<a href=\"\(host ?? "")/files/\(wheel.file)#sha256=\(digest)\">\(wheel.file)</a><br/>"
        }
        return .bytes(Array("<!DOCTYPE html><html><body>\(links.joined())</body></html>".utf8), contentType: "text/html")
    }

    private func file(_ request: Request) async throws -> Response {
        let file = try request.parameter("file", as: String.self)
        let bytes = state.withLock { state in
            state.downloads.append(file)
            return state.wheels.values.joined().first { $0.file == file }?.bytes
        }
        asked.signal()
        if let held = held.withLock({ $0 }) { try await held.next(timeout: .seconds(120)) }
        guard let bytes else { throw Problem.notFound(field: "file") }
        return .bytes(bytes, contentType: "application/octet-stream")
    }
}
