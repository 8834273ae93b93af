import Contracts
import FoundationEssentials
import Glibc
import HTTPServing
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

/// What a build can reach: the package index through its one door, and nothing else.
@Suite struct PackageNetworkTests {
    /// Runs a program of Python in the build sandbox, behind the door that a build has; gives what it printed.
    private static func build(_ program: String, arguments: [String] = [], routes: PackageRoutes, bounds: PackageProxy.Bounds = .init()) async throws
        -> (lines: [String], proxy: PackageProxy, outcome: SandboxOutcome)
    {
        let fixture = try await SandboxFixture.shared.get()
        let door = try BuildDoor()
        let command = SandboxCommand(
            arguments: BuildDoor.launch + ["/usr/bin/python3", "-ISB", "-c", program] + arguments,
            door: door,
            purpose: .build(userID: nil),
            limits: SandboxLimits.of(.small, wallTime: .seconds(60))
        )
        let proxy = PackageProxy(routes: routes, loop: fixture.loops.serving[0], bounds: bounds)
        await proxy.serve(door)
        let outcome = try await fixture.sandbox.run(command)
        await proxy.close()
        return (outcome.log.text.split(separator: "\n").map(String.init), proxy, outcome)
    }

    @Test func nothingButTheProxyCanBeReached() async throws {
        // A server of this machine, as Postgres and the gateway are: it listens on every address.
        let loops = try LoopGroup.start(count: 1)
        var router = Router()
        router.get("/") { _ in .bytes(Array("the gateway".utf8), contentType: "text/plain") }
        let server = HTTPServer(
            name: "gateway",
            address: "0.0.0.0",
            port: 0,
            router: router,
            loops: loops.serving,
            limits: HTTPLimits(accessLog: false)
        )
        try await server.start()
        let program = """
            import socket, sys
            port = int(sys.argv[1])
            def attempt(name, work):
                try: work(); print(name, "REACHED")
                except OSError as error: print(name, "closed", type(error).__name__)
            def connect(host, port, kind=socket.SOCK_STREAM):
                def work():
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    s = socket.socket(family, kind); s.settimeout(3); s.connect((host, port))
                    if kind == socket.SOCK_DGRAM: s.send(b"x"); s.recv(10)
                return work
            attempt("gateway", connect("127.0.0.1", port))
            attempt("postgres", connect("127.0.0.1", 5432)); attempt("postgres6", connect("::1", 5432))
            attempt("own address", connect(sys.argv[2], port))
            attempt("metadata", connect("169.254.169.254", 80))
            attempt("public", connect("1.1.1.1", 443)); attempt("dns", connect("1.1.1.1", 53, socket.SOCK_DGRAM))
            attempt("multicast", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("224.0.0.251", 5353)))
            attempt("name", lambda: socket.getaddrinfo("packages.example", 443))
            attempt("unix", lambda: socket.socket(socket.AF_UNIX).connect("/var/run/postgresql/.s.PGSQL.5432"))
            attempt("packet", lambda: socket.socket(17, socket.SOCK_RAW)); attempt("netlink", lambda: socket.socket(16, socket.SOCK_RAW))
            attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
            print("devices", [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line])
            print("routes", len(open("/proc/net/route").read().splitlines()) - 1)
            """
        var own = "127.0.0.2"
        if let found = try? ChildProcess.run(path: "/usr/bin/hostname", arguments: ["-I"]).output.split(separator: " ").first.map(String.init) {
            own = found
        }
        let routes = PackageRoutes(PackageIndex(environment: [:]) { _ in nil })
        let (lines, proxy, outcome) = try await Self.build(program, arguments: ["\(server.boundPort)", own], routes: routes)
        #expect(lines.filter { $0.contains(" closed ") }.count == 13, "\(lines)")
        #expect(!lines.contains { $0.contains("REACHED") }, "\(lines)")
        #expect(lines.suffix(2) == ["devices ['lo']", "routes 0"], "\(lines)")
        #expect(outcome.exitCode == 0)
        #expect(await proxy.connections == 0)
        await server.stop()
        await loops.stop()
    }

    @Test func theProxyLeadsToTheIndexAndNowhereElse() async throws {
        let index = try await FakeIndex()
        try index.publish("alpha", "1.0")
        let program = """
            import socket, sys
            def ask(text):
                s = socket.socket(); s.settimeout(20); s.connect(("127.0.0.1", 3128)); s.sendall(text.encode())
                answer = b""
                while True:
                    part = s.recv(65536)
                    if not part: break
                    answer += part
                return answer.decode("utf-8", "replace")
            port = sys.argv[1]
            for target in sys.argv[2:]:
                print(target, ask("CONNECT %s HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" % target).split(" ")[1])
            for target in ["http://169.254.169.254/latest/meta-data/", "http://localhost:" + port + "/", "http://127.0.0.1:1/", "https://127.0.0.1:" + port + "/",
                           "http://user:word@127.0.0.1:" + port + "/", "/simple/alpha/", "http://127.0.0.1:" + port + "@example.org/"]:
                print(target, ask("GET %s HTTP/1.1\\r\\nHost: 127.0.0.1:%s\\r\\n\\r\\n" % (target, port)).split(" ")[1])
            print("post", ask("POST http://127.0.0.1:%s/simple/alpha/ HTTP/1.1\\r\\n\\r\\n" % port).split(" ")[1])
            print("long", ask("GET http://127.0.0.1:%s/ HTTP/1.1\\r\\nX: %s\\r\\n\\r\\n" % (port, "x" * 20000)).split(" ")[1])
            page = ask("GET http://127.0.0.1:%s/simple/alpha/ HTTP/1.1\\r\\nHost: 127.0.0.1:%s\\r\\n\\r\\nGET http://127.0.0.1:%s/simple/alpha/ HTTP/1.1\\r\\n\\r\\n" % (port, port, port))
            print("page", page.split(" ")[1], page.count("alpha-1.0-py3"), page.count("HTTP/1.1"))
            tunnel = socket.socket(); tunnel.connect(("127.0.0.1", 3128)); tunnel.settimeout(20)
            tunnel.sendall(("CONNECT 127.0.0.1:%s HTTP/1.1\\r\\n\\r\\n" % port).encode())
            said = b""
            while b"\\r\\n\\r\\n" not in said: said += tunnel.recv(4096)
            tunnel.sendall(("GET /simple/alpha/ HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n").encode())
            rest = b""
            while True:
                part = tunnel.recv(65536)
                if not part: break
                rest += part
            print("tunnel", said.split(b" ")[1].decode(), b"alpha-1.0-py3" in rest)
            """
        let closed = [
            "169.254.169.254:80", "localhost:\(index.port)", "127.0.0.1:1", "packages.example:443", "example.org:443", "[::1]:\(index.port)",
            "127.0.0.1",
        ]
        let (lines, proxy, outcome) = try await Self.build(program, arguments: ["\(index.port)"] + closed, routes: PackageRoutes(index.index))
        for (number, target) in closed.enumerated() {
            let expected = target == "127.0.0.1" ? "400" : "403"
            #expect(lines.count > number && lines[number] == "\(target) \(expected)", "\(lines)")
        }
        let answers = Array(lines.dropFirst(closed.count))
        #expect(answers.prefix(7).map { $0.split(separator: " ").last ?? "" } == ["403", "403", "403", "400", "400", "400", "400"], "\(answers)")
        #expect(answers.dropFirst(7) == ["post 400", "long 431", "page 200 2 1", "tunnel 200 True"], "\(answers) \(outcome.log.text)")
        let refused = await proxy.refused
        #expect(refused.contains("169.254.169.254:80") && refused.contains("example.org:443"))
        await index.stop()
    }

    @Test func aFileHostThatLeadsInsideIsNotReached() async throws {
        let index = try await FakeIndex()
        var chosen = index.index
        chosen.fileHosts = ["files.example:\(index.port)"]
        let fixture = try await SandboxFixture.shared.get()
        let door = try BuildDoor()
        let program = """
            import socket, sys
            s = socket.socket(); s.connect(("127.0.0.1", 3128)); s.sendall(("CONNECT files.example:%s HTTP/1.1\\r\\n\\r\\n" % sys.argv[1]).encode())
            print(s.recv(4096).split(b" ")[1].decode())
            """
        let proxy = PackageProxy(routes: PackageRoutes(chosen), loop: fixture.loops.serving[0]) { _ in ["127.0.0.1", "10.0.0.1", "169.254.169.254"] }
        await proxy.serve(door)
        let command = SandboxCommand(
            arguments: BuildDoor.launch + ["/usr/bin/python3", "-ISB", "-c", program, "\(index.port)"],
            door: door,
            purpose: .build(userID: nil),
            limits: SandboxLimits.of(.small, wallTime: .seconds(60))
        )
        let outcome = try await fixture.sandbox.run(command)
        #expect(outcome.log.text == "502\n")
        #expect(await proxy.unreached == ["files.example:\(index.port)"])
        await proxy.close()
        await index.stop()
    }

    @Test func connectionsAndBytesAreBounded() async throws {
        let index = try await FakeIndex()
        try index.publish("alpha", "1.0", ballast: 4 << 20)
        let program = """
            import socket, sys
            port, file = sys.argv[1:]
            def get():
                s = socket.socket(); s.settimeout(20); s.connect(("127.0.0.1", 3128))
                try:
                    s.sendall(("GET http://127.0.0.1:%s/files/%s HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" % (port, file)).encode())
                    total = 0
                    while True:
                        part = s.recv(65536)
                        if not part: return total
                        total += len(part)
                except OSError: return 0
            print(*["whole" if get() > 4 << 20 else "cut" for _ in range(4)])
            """
        let routes = PackageRoutes(index.index)
        let arguments = ["\(index.port)", "alpha-1.0-py3-none-any.whl"]
        let free = try await Self.build(program, arguments: arguments, routes: routes)
        #expect(free.lines == ["whole whole whole whole"])
        let few = try await Self.build(program, arguments: arguments, routes: routes, bounds: .init(connections: 2))
        #expect(few.lines == ["whole whole cut cut"])
        let little = try await Self.build(program, arguments: arguments, routes: routes, bounds: .init(bytes: 6 << 20))
        #expect(little.lines == ["whole cut cut cut"])
        await index.stop()
    }

    @Test func thisMachinesProxyIsUsedWithItsPassword() async throws {
        let outer = try await WebSimulator.start(on: TestLoop.shared)
        outer.reply { request in
            guard request.headers["proxy-authorization"] == "Basic dXNlcjp3b3Jk" else { return .status(407) }
            return request.method == "CONNECT"
                ? .raw(Array("HTTP/1.1 200 fine\r\n\r\nbehind \(request.target)".utf8)) : .json("\"document \(request.target)\"")
        }
        let index = PackageIndex(
            environment: ["HTTPS_PROXY": "http://user:word@127.0.0.1:\(outer.port)"],
            choice: .init(url: "https://packages.example/simple", fileHosts: ["plain.example:80"])
        ) { _ in nil }
        let program = """
            import socket
            def ask(text):
                s = socket.socket(); s.settimeout(20); s.connect(("127.0.0.1", 3128)); s.sendall(text.encode())
                said = b""
                while b"example" not in said:
                    part = s.recv(4096)
                    if not part: break
                    said += part
                return said.decode().splitlines()[-1]
            print(ask("CONNECT packages.example:443 HTTP/1.1\\r\\n\\r\\n"))
            print(ask("GET http://plain.example/x HTTP/1.1\\r\\nHost: plain.example\\r\\nProxy-Authorization: Basic own\\r\\n\\r\\n"))
            print(ask("CONNECT elsewhere.example:443 HTTP/1.1\\r\\n\\r\\n"))
            """
        let (lines, _, outcome) = try await Self.build(program, routes: PackageRoutes(index))
        #expect(lines.count == 3 && lines[0] == "behind packages.example:443", "\(outcome.log.text)")
        #expect(lines.dropFirst().first == "\"document http://plain.example:80/x\"", "\(outcome.log.text)")
        #expect(lines.last == "elsewhere.example:443 is no package index of this platform")
        await outer.stop()
    }

    @Test(arguments: [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2001::1",
        "ff02::1", "packages.example", "",
    ])
    func addressesThatAreNotPublic(address: String) { #expect(!PublicAddress.isPublic(address)) }

    @Test(arguments: ["1.1.1.1", "151.101.0.223", "172.32.0.1", "100.128.0.1", "2a04:4e42::223", "2606:4700::1111"])
    func addressesThatArePublic(address: String) { #expect(PublicAddress.isPublic(address)) }

    @Test func whatNobodySetIsFoundOut() async throws {
        let help = "--default-index <URL>\n  The URL of the default package index (by default: <https://packages.example/simple>) [env: X]"
        let pages = Mutex<[String]>([])
        let isAway = Mutex(true)
        let discovery = IndexDiscovery(index: PackageIndex(environment: [:]) { _ in nil }, installerHelp: { help }) { url in
            pages.withLock { $0.append(url) }
            if isAway.withLock({ $0 }) { throw EnvironmentError(kind: .infra, reason: "away") }
            return #"<a href="https://files.example/a/pip.whl#sha256=1">x</a> <a href="../pip.whl">y</a> <a href="http://plain.example/z">z</a>"#
        }
        let first = try await discovery.routes()
        #expect(first.decision(on: Endpoint(host: "packages.example", port: 443)) == .allowed(mayBePrivate: true))
        #expect(first.decision(on: Endpoint(host: "files.example", port: 443)) == .refused)
        isAway.withLock { $0 = false }
        for _ in 0..<2 {
            let routes = try await discovery.routes()
            #expect(routes.decision(on: Endpoint(host: "files.example", port: 443)) == .allowed(mayBePrivate: false))
            #expect(routes.decision(on: Endpoint(host: "plain.example", port: 443)) == .refused)
            #expect(routes.decision(on: Endpoint(host: "packages.example", port: 80)) == .refused)
        }
        #expect(pages.withLock { $0 } == Array(repeating: "https://packages.example/simple/pip/", count: 2))
    }

    @Test func withoutAnIndexTheSettingIsNamed() async throws {
        let discovery = IndexDiscovery(index: PackageIndex(environment: [:]) { _ in nil }, installerHelp: { "usage: something else" }) { _ in nil }
        let error = try await #require(throws: EnvironmentError.self) { _ = try await discovery.routes() }
        #expect(error.kind == .infra && error.reason.contains("AUSPEX_PACKAGE_INDEX"))
    }

    @Test func routesFollowTheIndex() {
        let own = PackageRoutes(
            PackageIndex(
                environment: ["NO_PROXY": ".inside.example", "HTTPS_PROXY": "proxy:3128"],
                choice: .init(url: "https://u:p@mirror.inside.example:8443/simple", fileHosts: ["a.example"])
            ) { _ in nil }
        )
        #expect(own.decision(on: Endpoint(host: "mirror.inside.example", port: 8443)) == .allowed(mayBePrivate: true))
        #expect(own.decision(on: Endpoint(host: "a.example", port: 443)) == .allowed(mayBePrivate: false))
        #expect(own.decision(on: Endpoint(host: "packages.example", port: 443)) == .refused)
        #expect(own.proxy(for: "mirror.inside.example") == nil && own.proxy(for: "a.example")?.endpoint == Endpoint(host: "proxy", port: 3128))
    }
}
