import Contracts
import Foundation
import Glibc
import HTTPServing
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

private let login = IQFeedLogin(product: "AUSPEX_PRODUCT", login: "490914", password: "open-sesame-71")

private let stats =
    "S,STATS,66.112.156.228,60002,1300,12,3,2,4,5,Mar 26 09:30AM,Mar 26 09:30AM,Connected,6.2.0.25,\"490914\",0,0.0,0.0,0.08,0.08,0.08,"

@Suite struct IQFeedStatsTests {
    @Test func aLineOfStatistics() throws {
        let read = try #require(IQFeedStats(line: stats))
        #expect((read.maximumSymbols, read.symbols, read.clients, read.secondsSinceUpdate) == (1_300, 12, 3, 2))
        #expect((read.reconnections, read.attemptedReconnections, read.isConnected, read.version) == (4, 5, true, "6.2.0.25"))
        let apart = try #require(
            IQFeedStats(line: "S,STATS,,,0,0,1,0,0,0,,,Not Connected,6.2.0.25,\"490914\",0,0.0,0.0,0.08,0.08,0.08,")
        )
        #expect(!apart.isConnected && apart.clients == 1)
        for other in ["S,STATS,,,0,0,1", "S,CLIENTSTATS,0,1,x", "", "T,20210326 09:30:00"] { #expect(IQFeedStats(line: other) == nil) }
    }
}

/// The watchdog over the simulator: no process, every second by hand.
@Suite(.timeLimit(.minutes(10))) struct KeepAliveStateTests {
    private struct Watched: Sendable {
        let bench: IQFeedBench
        let keepAlive: KeepAlive
        let changes: TestSignal<KeepAlive.State>
        let readiness: Readiness

        /// The next state of that kind; others are passed over.
        func reaches(_ wanted: @Sendable (KeepAlive.State) -> Bool) async throws -> KeepAlive.State {
            while true {
                let state = try await changes.next()
                if wanted(state) { return state }
            }
        }

        func reachesLive() async throws { _ = try await reaches { $0 == .live } }

        /// Says a line at a door, and waits until it was heard.
        func say(_ line: String, at port: IQFeedSimulator.Port) async throws {
            let door: IQFeedDoor = port == .admin ? .admin : .level1
            let before = await keepAlive.linesHeard[door] ?? 0
            await bench.simulator.send(line, to: port)
            try await eventually("the line is heard") { await keepAlive.linesHeard[door] ?? 0 > before }
        }

        func sayStats(connected: Bool = true) async throws {
            try await say(connected ? stats : stats.replacing("Connected", with: "Not Connected"), at: .admin)
        }

        func sayTime() async throws { try await say("T,20210326 09:30:00", at: .level1) }

        /// Both doors are watched and the program is connected.
        func begin() async throws {
            try await keepAlive.start()
            while try await bench.simulator.connected.next() != .admin {}
            try await sayStats()
            while try await bench.simulator.heard.next() != (.level1, "S,CONNECT") {}
            try await sayTime()
            try await reachesLive()
        }
    }

    private func watched(
        command: [String] = [],
        timing: KeepAliveTiming = KeepAliveTiming(),
        _ body: @escaping @Sendable (Watched) async throws -> Void
    ) async throws {
        try await IQFeedBench.with { bench in
            let changes = TestSignal<KeepAlive.State>()
            let readiness = Readiness()
            let keepAlive = KeepAlive(
                connector: bench.connector,
                login: login,
                command: command,
                environment: [:],
                timing: timing,
                readiness: readiness,
                random: { 0.5 },
                onChange: { changes.signal($0) }
            )
            do { try await body(Watched(bench: bench, keepAlive: keepAlive, changes: changes, readiness: readiness)) } catch {
                await keepAlive.stop()
                throw error
            }
            await keepAlive.stop()
        }
    }

    @Test func aRunningClientIsAdoptedAndWorks() async throws {
        try await watched { watched in
            try await watched.begin()
            #expect(watched.readiness.report().ready)
            try await watched.keepAlive.whenLive(within: .seconds(4))
            // It was connected already: nobody logged in again.
            while watched.bench.simulator.heard.pendingCount > 0 {
                let (_, line) = try await watched.bench.simulator.heard.next()
                #expect(!line.contains("PASSWORD"))
            }
        }
    }

    @Test func aClientThatIsNotConnectedIsLoggedInAndNotTooOften() async throws {
        try await watched { watched in
            try await watched.keepAlive.start()
            while try await watched.bench.simulator.connected.next() != .admin {}
            func nextLines(_ count: Int) async throws -> [String] {
                var lines: [String] = []
                while lines.count < count { lines.append(try await watched.bench.simulator.heard.next().line) }
                return lines
            }
            let whole = [
                "S,REGISTER CLIENT APP,AUSPEX_PRODUCT,\(AuspexVersion.current)", "S,SET LOGINID,490914", "S,SET PASSWORD,open-sesame-71",
                "S,SET SAVE LOGIN INFO,Off", "S,SET AUTOCONNECT,On", "S,CONNECT",
            ]
            try await watched.sayStats(connected: false)
            #expect(try await nextLines(6) == whole)
            // For twenty seconds nothing more is tried; then once more, then after forty.
            for pause in [20, 40] {
                for _ in 0..<(pause - 1) {
                    watched.bench.time.advance(by: .seconds(1))
                    try await watched.sayStats(connected: false)
                }
                #expect(watched.bench.simulator.heard.pendingCount == 0)
                watched.bench.time.advance(by: .seconds(1))
                try await watched.sayStats(connected: false)
                #expect(try await nextLines(6) == whole)
            }
            #expect(await watched.bench.simulator.connections(at: .level1) == 0)
            await #expect(throws: SourceError.self) { try await watched.keepAlive.whenLive(within: .zero) }
            #expect(!watched.readiness.report().ready)
        }
    }

    @Test(arguments: [IQFeedSimulator.Port.admin, .level1])
    func aSilentDoorIsAHangWithinFifteenSeconds(_ silent: IQFeedSimulator.Port) async throws {
        try await watched { watched in
            try await watched.begin()
            let begunAt = watched.bench.time.now()
            var hung: KeepAlive.State?
            for second in 1...14 where hung == nil {
                watched.bench.time.advance(by: .seconds(1))
                // At the fifth second it is seen; the other door goes on until then.
                if second >= 5 {
                    hung = try await watched.reaches { if case .down = $0 { true } else { false } }
                } else if silent == .admin {
                    try await watched.sayTime()
                } else {
                    try await watched.sayStats()
                }
            }
            #expect(hung == .down("it hangs (\(silent.rawValue) is silent)"))
            #expect(watched.bench.time.now() - begunAt < .seconds(15))
            #expect(!watched.readiness.report().ready)
        }
    }

    @Test func aDoorThatIsCutIsOpenedAgainWithoutAnAlarm() async throws {
        try await watched { watched in
            try await watched.begin()
            while watched.bench.simulator.connected.pendingCount > 0 { _ = try await watched.bench.simulator.connected.next() }
            await watched.bench.simulator.hangUp(.admin)
            #expect(try await watched.bench.simulator.connected.next() == .admin)
            await watched.bench.simulator.hangUp(.level1)
            #expect(try await watched.bench.simulator.connected.next() == .level1)
            while try await watched.bench.simulator.heard.next() != (.level1, "S,CONNECT") {}
            try await watched.sayTime()
            try await watched.reachesLive()
        }
    }

    @Test func aDoorThatHangsUpAgainAndAgainIsGivenUp() async throws {
        try await watched { watched in
            try await watched.begin()
            for _ in 1...4 {
                await watched.bench.simulator.hangUp(.admin)
                while try await watched.bench.simulator.connected.next() != .admin {}
                try await watched.sayStats()
            }
            await watched.bench.simulator.hangUp(.admin)
            let down = try await watched.reaches { if case .down = $0 { true } else { false } }
            #expect(down == .down("it is gone (admin: it hangs up again and again)"))
        }
    }

    @Test(arguments: [true, false])
    func level1MayOpenALittleLater(_ opens: Bool) async throws {
        try await watched { watched in
            let (bench, time) = (watched.bench, watched.bench.time)
            bench.simulator.setFault(.hangsUp, at: .level1)
            try await watched.keepAlive.start()
            while try await bench.simulator.connected.next() != .admin {}
            try await watched.sayStats()
            for look in 1...8 {
                while try await time.fellAsleep.next() != .seconds(1) {}
                #expect(await watched.keepAlive.state == .starting("level 1 does not speak yet"))
                if opens, look == 4 { bench.simulator.setFault(nil, at: .level1) }
                time.advance(by: .seconds(1))
                if opens, look == 4 { break }
                // After the last look it is over.
                if look < 8 { try await watched.sayStats() }
            }
            if opens {
                while try await bench.simulator.heard.next() != (.level1, "S,CONNECT") {}
                try await watched.sayTime()
                try await watched.reachesLive()
            } else {
                guard case .down(let why) = try await watched.reaches({ if case .down = $0 { true } else { false } }) else { return }
                #expect(why.hasPrefix("it is gone (level1: "))
            }
        }
    }

    @Test func aLostVendorIsNoReasonToRestart() async throws {
        try await watched { watched in
            try await watched.begin()
            try await watched.sayStats(connected: false)
            #expect(try await watched.reaches { $0 != .live } == .starting("not connected to the vendor's servers"))
            // Level 1 falls silent, as the vendor's servers are away; the admin door goes on.
            for _ in 0..<60 {
                watched.bench.time.advance(by: .seconds(1))
                try await watched.sayStats(connected: false)
            }
            #expect(await watched.keepAlive.state == .starting("not connected to the vendor's servers"))
            #expect(watched.changes.pendingCount == 0)
            try await watched.sayStats()
            while try await watched.bench.simulator.heard.next() != (.level1, "S,CONNECT") {}
            try await watched.sayTime()
            try await watched.reachesLive()
        }
    }

    @Test(arguments: [["/bin/false"], ["/no/such/program"], ["/bin/sh", "-c", "kill -9 $$"], []])
    func whatDoesNotStartIsTriedEverMoreSlowly(_ command: [String]) async throws {
        try await watched(command: command) { watched in
            await watched.bench.simulator.stop()
            let wanted: [Duration] = [.seconds(1), .seconds(2), .seconds(4), .seconds(8), .seconds(16), .seconds(32), .seconds(60), .seconds(60)]
            try await watched.keepAlive.start()
            var pauses: [Duration] = []
            while pauses.count < wanted.count {
                let pause = try await watched.bench.time.fellAsleep.next()
                // Five seconds are the patience for a connection; half a second is between two looks at the doors.
                if pause == .milliseconds(500) {
                    // What ends at once has ended by the next look.
                    try await eventually("the program has ended") { await watched.keepAlive.childHasEnded }
                    watched.bench.time.advance(by: pause)
                } else if pause != .seconds(5), pause != .seconds(50) {
                    pauses.append(pause)
                    guard case .down(let why) = await watched.keepAlive.state else {
                        Issue.record("it is \(await watched.keepAlive.state)")
                        return
                    }
                    #expect(why.hasPrefix("it did not start: "))
                    watched.bench.time.advance(by: pause)
                }
            }
            #expect(pauses == wanted)
            await #expect(throws: SourceError.self) { try await watched.keepAlive.whenLive(within: .zero) }
        }
    }
}

/// The watchdog over a program of its own: real processes, real signals; pauses by hand.
@Suite(.timeLimit(.minutes(10))) struct KeepAliveProcessTests {
    /// What the stand-in has written.
    struct Entry: Decodable {
        let pid: Int32
        let started: String?
        let environment: String?
        let admin: String?
    }

    private struct Watched: Sendable {
        let bench: IQFeedBench
        let keepAlive: KeepAlive
        let changes: TestSignal<KeepAlive.State>
        let record: String
        let admin: Int
        let level1: Int

        func entries() -> [Entry] {
            guard let text = try? String(contentsOfFile: record, encoding: .utf8) else { return [] }
            return text.split(separator: "\n").compactMap { try? JSONDecoder().decode(Entry.self, from: Data($0.utf8)) }
        }

        /// The starts so far, in order.
        func starts() -> [Entry] { entries().filter { $0.started != nil } }

        /// Moves the clock on for each pause until the program works for the `start`th time; how long that took by that clock.
        func becomesLive(start: Int) async throws -> Duration {
            let begunAt = bench.time.now()
            try await eventually("the program works") {
                while bench.time.fellAsleep.pendingCount > 0 {
                    let pause = try await bench.time.fellAsleep.next()
                    // Between two looks at a door: its program needs real time to open it.
                    if pause == .milliseconds(500) { try await eventually("the program is up") { starts().count >= start } }
                    // Five seconds are patience with a door or with its silence.
                    if pause < .seconds(5) { bench.time.advance(by: pause) }
                }
                let isLive = await keepAlive.state == .live
                return isLive && starts().count >= start
            }
            return bench.time.now() - begunAt
        }

        /// Moves the clock on by seconds until the program is known to hang; how long that took by that clock.
        func isSeenToHang() async throws -> Duration {
            let begunAt = bench.time.now()
            try await eventually("the hang is seen") {
                guard await keepAlive.state == .live else { return true }
                bench.time.advance(by: .seconds(1))
                return false
            }
            return bench.time.now() - begunAt
        }
    }

    private static let program = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "fake_iqconnect.py").path()

    private func watched(_ extra: [String] = [], _ body: @escaping @Sendable (Watched) async throws -> Void) async throws {
        try await IQFeedBench.with { bench in
            let record = FileManager.default.temporaryDirectory.appending(path: "iqconnect-\(UUID().uuidString)").path()
            defer { try? FileManager.default.removeItem(atPath: record) }
            let ports = try await LineServer.freePorts(2, on: bench.loop)
            var endpoints = IQFeedEndpoints()
            endpoints.ports = [.admin: ports[0], .level1: ports[1]]
            let changes = TestSignal<KeepAlive.State>()
            var surroundings = ProcessInfo.processInfo.environment
            surroundings["AUSPEX_DTN_PASSWORD"] = login.password
            let keepAlive = KeepAlive(
                connector: IQFeedConnector(endpoints: endpoints, loop: bench.loop, time: bench.time),
                login: login,
                command: ["python3", Self.program, "\(ports[0])", "\(ports[1])", record] + extra,
                environment: KeepAlive.cleaned(surroundings),
                readiness: Readiness(),
                random: { 0.5 },
                onChange: { changes.signal($0) }
            )
            let watched = Watched(bench: bench, keepAlive: keepAlive, changes: changes, record: record, admin: ports[0], level1: ports[1])
            try await keepAlive.start()
            do { try await body(watched) } catch {
                await keepAlive.stop()
                throw error
            }
            await keepAlive.stop()
            // Nothing is left behind.
            for start in watched.starts() {
                try await eventually("process \(start.pid) is gone") { kill(start.pid, 0) != 0 || processState(start.pid) == "Z" }
            }
        }
    }

    @Test func aKilledClientIsBackInThirtySeconds() async throws {
        try await watched { watched in
            _ = try await watched.becomesLive(start: 1)
            for round in 1...3 {
                let client = try #require(watched.starts().last)
                kill(client.pid, SIGKILL)
                while true {
                    if case .down(let why) = try await watched.changes.next() {
                        #expect(why.hasPrefix("it is gone"))
                        break
                    }
                }
                // Killed again and again it is restarted more slowly, but the first time within thirty seconds.
                let took = try await watched.becomesLive(start: round + 1)
                if round == 1 { #expect(took < .seconds(30)) }
                #expect(took >= .seconds(1 << (round - 1)))
                #expect(watched.starts().last?.pid != client.pid)
            }
        }
    }

    @Test func aStoppedClientIsSeenInFifteenSecondsAndReplaced() async throws {
        try await watched { watched in
            _ = try await watched.becomesLive(start: 1)
            let client = try #require(watched.starts().last)
            kill(client.pid, SIGSTOP)
            try await eventually("it has stopped") { processState(client.pid) == "T" }
            let stoppedAt = watched.bench.time.now()
            #expect(try await watched.isSeenToHang() < .seconds(15))
            guard case .down(let why) = await watched.keepAlive.state else {
                Issue.record("it is \(await watched.keepAlive.state)")
                return
            }
            #expect(why.hasPrefix("it hangs"))
            _ = try await watched.becomesLive(start: 2)
            #expect(watched.bench.time.now() - stoppedAt < .seconds(45))
            try await eventually("the stopped one is gone") { kill(client.pid, 0) != 0 }
        }
    }

    @Test func theSecretsGoOverTheAdminPortOnly() async throws {
        let lines = Mutex<[String]>([])
        let usual = Mutex<(@Sendable (String) -> Void)?>(nil)
        Logger.configure { configuration in
            usual.withLock { $0 = configuration.sink }
            configuration.sink = { line in lines.withLock { $0.append(line) } }
        }
        defer { Logger.configure { configuration in configuration.sink = usual.withLock { $0 } ?? configuration.sink } }
        try await watched { watched in
            _ = try await watched.becomesLive(start: 1)
            let start = try #require(watched.starts().first)
            #expect(start.started?.contains(login.password) == false)
            #expect(start.environment?.contains(login.password) == false)
            #expect(start.environment?.contains("AUSPEX_") == false)
            #expect(start.environment?.contains("PATH=") == true)
            #expect(watched.entries().contains { $0.admin == "S,SET PASSWORD,\(login.password)" })
            #expect(watched.entries().contains { $0.admin == "S,SET SAVE LOGIN INFO,Off" })
        }
        #expect(lines.withLock { $0.contains { $0.contains("logging IQFeed's client program in") } })
        #expect(!lines.withLock { $0.contains { $0.contains(login.password) || $0.contains(login.login) } })
        #expect("\(login)" == "IQFeedLogin")
    }

    @Test func aLauncherMayLeaveTheProgramBehind() async throws {
        try await watched(["fork"]) { watched in
            _ = try await watched.becomesLive(start: 1)
            let client = try #require(watched.starts().last)
            try await eventually("the launcher has ended") { await watched.keepAlive.childHasEnded }
            #expect(await watched.keepAlive.state == .live)
            kill(client.pid, SIGSTOP)
            _ = try await watched.isSeenToHang()
            // With the whole group, before the next start: the clock has not been moved on yet.
            try await eventually("the stopped one is gone") { kill(client.pid, 0) != 0 || processState(client.pid) == "Z" }
            _ = try await watched.becomesLive(start: 2)
        }
    }
}

/// The letter of a process's state: `T` stopped, `Z` ended and not collected; nothing if there is none.
private func processState(_ process: Int32) -> Character? {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return nil }
    return text.split(separator: ")").last?.drop { $0 == " " }.first
}
