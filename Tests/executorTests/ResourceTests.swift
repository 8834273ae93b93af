import Contracts
import FoundationEssentials
import JobWorker
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

extension MachineCapacity {
    /// A machine that no test fills.
    static let plenty = MachineCapacity(cpuThousandths: 64_000, memoryBytes: 512 << 30)
}

/// Who gets which part of the machine.
@Suite struct ResourceTests {
    private static let gibibyte = 1 << 30

    private static func plan(_ cpu: Int, gibibytes: Int, gpus: Int = 0, slots: [ResourceClass: Int?] = [:], reserved: Int = 0) throws -> CapacityPlan
    {
        var settings = CapacitySettings()
        settings.slots = slots
        settings.reservedBytes = reserved
        settings.cpuThousandths = cpu * 1000
        return try CapacityPlan(
            settings: settings,
            machine: MachineCapacity(cpuThousandths: cpu * 1000, memoryBytes: gibibytes * gibibyte),
            gpus: gpus
        )
    }

    private static func book(_ plan: CapacityPlan) -> ResourceBook { ResourceBook(capacity: plan.capacity, sizes: plan.sizes, slots: plan.slots) }

    private static func total(_ counts: [ResourceClass: Int], _ plan: CapacityPlan) -> Share {
        counts.reduce(Share()) { $0 + (plan.sizes[$1.key] ?? Share()) * $1.value }
    }

    // MARK: The plan

    @Test func classesWithoutRoomHaveNoSlotsAndSaySo() throws {
        let plan = try Self.plan(8, gibibytes: 8)
        #expect(plan.slots[.large] == nil && plan.slots[.gpu] == nil)
        #expect(plan.notes.contains { $0.hasPrefix("class large: no slots, it takes 4 CPU, 16384 MiB") }, "\(plan.notes)")
        #expect(plan.notes.contains { $0.hasPrefix("class gpu: no slots, there is no GPU") }, "\(plan.notes)")
        #expect(plan.slots[.standard] == 1 && plan.slots[.signal] == 4)
    }

    @Test func graphicsProcessorsMakeSlots() throws {
        #expect(try Self.plan(64, gibibytes: 256, gpus: 2).slots[.gpu] == 2)
    }

    @Test func aSmallMachineCutsTheClassThatManifestsHaveByDefault() throws {
        let plan = try Self.plan(4, gibibytes: 4, slots: [.signal: .some(2)])
        #expect(plan.classes[.standard].memoryBytes == 3 * Self.gibibyte && plan.slots[.standard] == 1)
        #expect(plan.notes.contains { $0.hasPrefix("class standard: cut to") }, "\(plan.notes)")
    }

    @Test func aMachineWithoutRoomForOneRunIsRefused() {
        #expect(throws: SandboxError.self) { try Self.plan(4, gibibytes: 1, reserved: 700 << 20) }
    }

    @Test func theReserveIsNeverGiven() throws {
        let plan = try Self.plan(4, gibibytes: 8, reserved: 2 * Self.gibibyte)
        #expect(plan.capacity.memoryBytes == 6 * Self.gibibyte)
    }

    // MARK: Settings

    @Test func theSettingOfAClassChangesWhatItNames() throws {
        let small = ResourceClasses.standard[.small]
        let changed = try small.changed(by: "cpu=0.5, memory=1G,tmp=32M,processes=32,seconds=90,gpu=1")
        #expect(changed == ResourceLimits(cpuThousandths: 500, memoryBytes: 1 << 30, temporaryBytes: 32 << 20, processes: 32, seconds: 90, gpus: 1))
        #expect(try small.changed(by: "seconds=61").memoryBytes == small.memoryBytes)
    }

    @Test(arguments: [
        "", "cpu", "cpu=", "cpu=0", "cpu=nan", "cpu=1e9", "memory=512", "memory=-1M", "memory=1M", "memory=99999999999999999999G",
        "tmp=1G,memory=512M",
        "processes=0", "seconds=0", "seconds=86401", "cpu=1,cpu=2", "colour=red", "memory=512M,", "gpu=17",
    ])
    func aWrongSettingIsRefusedWithWords(_ text: String) {
        var reader = SettingsReader(environment: ["AUSPEX_CLASS_SMALL": text.isEmpty ? "," : text])
        _ = reader.resourceClasses()
        do {
            try reader.finish()
            Issue.record("'\(text)' was taken")
        } catch {
            #expect(error.problems.count == 1 && error.problems[0].hasPrefix("AUSPEX_CLASS_SMALL: "), "\(error.problems)")
        }
    }

    @Test func aRunHasTheLimitsOfItsClassHere() throws {
        var classes = ResourceClasses.standard
        classes[.small] = try classes[.small].changed(by: "memory=256M,tmp=16M,processes=9,cpu=0.5,seconds=20")
        let limits = SandboxLimits.of(.small, wallTime: .seconds(60), classes: classes)
        #expect(limits.memoryBytes == 256 << 20 && limits.temporaryBytes == 16 << 20 && limits.processes == 9 && limits.cpuThousandths == 500)
        #expect(limits.wallTime == .seconds(20), "the shorter of what the job and the class allow")
        #expect(SandboxLimits.of(.small, wallTime: .seconds(7), classes: classes).wallTime == .seconds(7))
    }

    // MARK: What is asked for

    @Test func whatIsAskedForFitsAtOnce() throws {
        let plan = try Self.plan(4, gibibytes: 8, slots: [.signal: .some(1)])
        var book = Self.book(plan)
        let asked = book.claim(beside: [:])
        #expect(asked[.signal] == 1)
        #expect(Self.total(asked, plan).fits(in: plan.capacity), "\(asked)")
        #expect(asked[.standard] == nil || asked[.small] == nil || Self.total(asked, plan).memoryBytes <= 8 * Self.gibibyte)
    }

    @Test func whoStoodBackIsAskedForNext() throws {
        // Room for one standard or eight small ones.
        let plan = try Self.plan(16, gibibytes: 5, slots: [.signal: .some(1)])
        var book = Self.book(plan)
        let first = book.claim(beside: [:])
        #expect(book.hasMoreToAsk(beside: [:]))
        let second = book.claim(beside: [:])
        #expect(Set(first.keys).union(second.keys).isSuperset(of: [.small, .standard]))
        #expect(!book.hasMoreToAsk(beside: [:]), "everybody was asked for once")
        // The next round begins with another.
        #expect(book.claim(beside: [:]).filter { $0.key != .signal } == second.filter { $0.key != .signal })
    }

    @Test func whatIsExhaustedIsLeftOutAndTakesNoRoom() throws {
        // Room for one standard or nine small ones.
        let plan = try Self.plan(16, gibibytes: 5, slots: [.signal: .some(1)])
        var book = Self.book(plan)
        for _ in 0..<4 {
            #expect(book.claim(beside: [:], without: [.standard, .signal]) == [.small: 9])
            #expect(!book.hasMoreToAsk(beside: [:]), "standard was asked for in vain, and counts as asked for")
        }
        book.save(for: .standard)
        #expect(book.claim(beside: [:], without: [.standard, .signal])[.standard] == 1, "a job of it waits")
    }

    @Test func slotsOfSignalsAreNobodyElses() throws {
        let plan = try Self.plan(4, gibibytes: 3, slots: [.signal: .some(2), .standard: .some(0)])
        let book = Self.book(plan)
        #expect(book.room(beside: [.small: 2])[.small] == nil, "two CPUs are set aside")
        #expect(book.room(beside: [.small: 2])[.signal] == 2)
    }

    @Test func aLargeOneThatWaitsGetsItsRoom() throws {
        let plan = try Self.plan(8, gibibytes: 18, slots: [.signal: .some(1), .standard: .some(0)])
        var book = Self.book(plan)
        book.save(for: .large)
        var running = 5
        // Small ones end one by one, and none is asked for until the large one fits.
        while book.room(beside: [.small: running])[.large] == nil {
            #expect(book.claim(beside: [.small: running])[.small] == nil)
            #expect(!book.hasMoreToAsk(beside: [.small: running]))
            running -= 1
        }
        #expect(book.claim(beside: [.small: running])[.large] == 1)
        book.save(for: nil)
    }

    @Test func aRunLargerThanItsSlotWaitsForTheDifference() async throws {
        let plan = try Self.plan(8, gibibytes: 6, slots: [.signal: .some(2)])
        let manager = ResourceManager(plan: plan)
        manager.changed(held: [.signal: 1, .small: 4], asked: [:])
        let began = TestFlag()
        let task = Task {
            let extra = try await manager.takeExtra(for: .standard, beyond: .signal)
            began.set()
            return extra
        }
        while manager.room(beside: [.signal: 1, .small: 4])[.small] != nil { await Task.yield() }
        #expect(!began.isSet, "3.5 GiB beyond its slot are not there beside four small ones")
        manager.changed(held: [.signal: 1, .small: 3], asked: [:])
        let extra = try await task.value
        #expect(manager.used == Self.total([.signal: 1, .small: 3], plan) + Share(memoryBytes: 3584 << 20))
        manager.giveBack(extra)
        #expect(manager.used == Self.total([.signal: 1, .small: 3], plan))
    }

    @Test func aRunThatCanNeverFitIsRefusedInWords() async throws {
        let manager = ResourceManager(plan: try Self.plan(8, gibibytes: 6, slots: [.signal: .some(2)]))
        do {
            _ = try await manager.takeExtra(for: .large, beyond: .signal)
            Issue.record("it fitted")
        } catch let obstacle as RunObstacle {
            #expect(obstacle.kind == .infra && obstacle.reason.contains("class large"))
        }
    }

    @Test func aCancelledWaitLeavesNothing() async throws {
        let plan = try Self.plan(8, gibibytes: 6, slots: [.signal: .some(2)])
        let manager = ResourceManager(plan: plan)
        manager.changed(held: [.signal: 1, .small: 4], asked: [:])
        let free = manager.room(beside: [:])
        let task = Task { try await manager.takeExtra(for: .standard, beyond: .signal) }
        while manager.room(beside: [.signal: 1, .small: 4])[.small] != nil { await Task.yield() }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(manager.room(beside: [:]) == free)
    }

    @Test func aPausedManagerAsksForNothing() throws {
        let manager = ResourceManager(plan: try Self.plan(8, gibibytes: 8))
        let told = TestSignal<Void>()
        manager.whenRoomIsFreed { told.signal(()) }
        manager.pause("sandbox")
        manager.pause("notice")
        manager.resume("sandbox")
        #expect(told.pendingCount == 0)
        #expect(manager.room(beside: [:]).isEmpty && manager.claim(beside: [:], without: []).isEmpty && !manager.hasMoreToAsk(beside: [:]))
        manager.resume("notice")
        #expect(told.pendingCount == 1, "the worker is told, for no end of a job tells it")
        #expect(!manager.claim(beside: [:], without: []).isEmpty)
    }

    // MARK: Under random load

    @Test(arguments: 1...12) func randomLoadNeverOvercommitsAndStarvesNobody(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let plan = try Self.plan(
            Int.random(in: 6...24, using: &random),
            gibibytes: Int.random(in: 20...96, using: &random),
            gpus: Int.random(in: 0...2, using: &random)
        )
        var book = Self.book(plan)
        var running: [(name: ResourceClass, ends: Int, extra: Int?)] = []
        var wanting: [(number: Int, ends: Int)] = []
        var waiting: [ResourceClass: [Int]] = [:]
        var lastServed: [ResourceClass: Int] = [:]
        let shares: [(ResourceClass, Int)] = [(.signal, 30), (.small, 90), (.standard, 12), (.large, 2), (.gpu, 2)]
        for step in 0..<6000 {
            // Work comes; more small ones than ever fit.
            for (name, percent) in shares where (plan.slots[name] ?? 0) > 0 && Int.random(in: 0..<100, using: &random) < percent {
                waiting[name, default: []].append(step)
            }
            // Runs end, or are cancelled at any time.
            for index in running.indices.reversed() where running[index].ends <= step || Int.random(in: 0..<500, using: &random) == 0 {
                if let extra = running[index].extra { book.giveBack(extra) }
                running.remove(at: index)
            }
            func held() -> [ResourceClass: Int] { running.reduce(into: [:]) { $0[$1.name, default: 0] += 1 } }
            book.changed(held: held(), asked: [:])
            // Once in a while the scheduler tells what waits: the one that waits longest and does not fit is saved for.
            if step % 5 == 0 {
                let room = book.room(beside: held())
                let stuck = waiting.filter { name, since in name != .signal && room[name] == nil && since.first.map { step - $0 > 10 } == true }
                book.save(for: stuck.min { ($0.value[0], $0.key.rawValue) < ($1.value[0], $1.key.rawValue) }?.key)
            }
            var claims = 0
            repeat {
                let asked = book.claim(beside: held())
                #expect(Self.total(asked, plan).memoryBytes + book.used.memoryBytes <= plan.capacity.memoryBytes)
                for (name, count) in asked {
                    let taken = min(count, waiting[name]?.count ?? 0)
                    for _ in 0..<taken {
                        waiting[name]?.removeFirst()
                        lastServed[name] = step
                        let extra =
                            name == .signal && Int.random(in: 0..<4, using: &random) == 0
                            ? book.want(plan.sizes[.standard] ?? Share(), beyond: .signal) : nil
                        running.append((name, step + Int.random(in: 1...30, using: &random), extra))
                        if let extra { wanting.append((extra, step)) }
                    }
                }
                claims += 1
                book.changed(held: held(), asked: [:])
            } while book.hasMoreToAsk(beside: held()) && claims < 10
            #expect(claims < 10, "a round ends")
            for (number, _) in wanting { _ = book.mayBegin(number) }
            wanting.removeAll { want in book.mayBegin(want.number) || !running.contains { $0.extra == want.number } }
            #expect(book.used.fits(in: plan.capacity), "step \(step): \(book.used) of \(plan.capacity)")
            for (name, count) in held() { #expect(count <= plan.slots[name] ?? 0) }
        }
        for name in [ResourceClass.large, .gpu, .standard] where plan.slots[name] != nil {
            // There may be more work than the machine can do; but nobody is kept from it.
            #expect(
                waiting[name]?.isEmpty != false || 6000 - (lastServed[name] ?? 0) < 600,
                "\(name) was served last at \(String(describing: lastServed[name]))"
            )
        }
    }

    // MARK: The machine

    @Test func theLimitsOfTheContainerCount() throws {
        let root = SandboxFixture.temporaryFolder
        defer { FileTree.remove(root) }
        func write(_ path: String, _ text: String) throws {
            let folder = "\(root)/\(path.split(separator: "/").dropLast().joined(separator: "/"))"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(filePath: "\(root)/\(path)"))
        }
        try write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n")
        try write("proc/self/cgroup", "0::/box/inner\n")
        #expect(MachineCapacity.detect(root: root, processors: 8) == MachineCapacity(cpuThousandths: 8000, memoryBytes: 16 << 30))
        try write("sys/fs/cgroup/box/memory.max", "4294967296\n")
        try write("sys/fs/cgroup/box/inner/memory.max", "max\n")
        try write("sys/fs/cgroup/box/inner/cpu.max", "150000 100000\n")
        #expect(
            MachineCapacity.detect(root: root, processors: 8) == MachineCapacity(cpuThousandths: 1500, memoryBytes: 4 << 30),
            "v2, the group's own and those above"
        )
        try write("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n")
        try write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n")
        try write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "200000\n")
        try write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n")
        #expect(
            MachineCapacity.detect(root: root, processors: 8) == MachineCapacity(cpuThousandths: 2000, memoryBytes: 2 << 30),
            "v1, also where only the root is seen"
        )
        try write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        #expect(MachineCapacity.detect(root: root, processors: 8).memoryBytes == 16 << 30, "no limit is no limit")
    }

    @Test func graphicsProcessorsAreFoundByTheirFiles() throws {
        let root = SandboxFixture.temporaryFolder
        defer { FileTree.remove(root) }
        for name in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidiax", "null"] { try Data().write(to: URL(filePath: "\(root)/\(name)")) }
        let found = GPUDevice.detect(in: root)
        #expect(
            found.map(\.files)
                == [["nvidia0", "nvidiactl", "nvidia-uvm"], ["nvidia1", "nvidiactl", "nvidia-uvm"]].map { $0.map { "\(root)/\($0)" } }
        )
        #expect(GPUDevice.detect(in: root + "/nothing").isEmpty)
        let named = GPUDevice.named(["\(root)/nvidia1", "\(root)/accelerator"], in: root)
        #expect(named.map(\.files) == [found[1].files, ["\(root)/accelerator"]])
        #expect(GPUDevice.files(of: found) == ["nvidia0", "nvidiactl", "nvidia-uvm", "nvidia1"].map { "\(root)/\($0)" })
    }

    /// What the launcher would refuse for every run is refused once, at the start, with the setting's name.
    @Test(arguments: [
        ("/dev/nvidia0", true), ("/dev/dri/renderD128", true), ("/srv/nvidia0", false), ("/dev", false), ("/dev/", false), ("dev/nvidia0", false),
        ("/dev//nvidia0", false), ("/dev/nvidia0/", false), ("/dev/../srv", false), ("/dev/./nvidia0", false), ("/dev/fd/3", false),
        ("/dev/shm", false),
    ])
    func onlyADeviceIsTakenForAGraphicsProcessor(path: String, isTaken: Bool) throws {
        var reader = SettingsReader(environment: ["AUSPEX_GPU_DEVICES": path])
        _ = CapacitySettings(from: &reader)
        if isTaken {
            try reader.finish()
        } else {
            let error = #expect(throws: SettingsError.self) { try reader.finish() }
            #expect(error?.problems == ["AUSPEX_GPU_DEVICES names '\(path)', which is no device file below /dev"])
        }
        let launcher = try ChildProcess.run(
            path: SandboxFixture.buildFolder + "/sandbox-launch",
            arguments: ["limits", "--name", "7-1", "--cgroup-v2", "/g", "--device", path, "--", "--", "x"]
        )
        #expect((launcher.exitCode == 0) == isTaken, "\(launcher.output)")
    }

    @Test func aRunGetsItsGraphicsProcessorAndNoOther() throws {
        let host = SandboxHost(launcher: "/l", cgroups: [], level: .reduced, systemRoot: "/", firstUserID: nil)
        var command = SandboxCommand(arguments: ["/x"], limits: .of(.gpu, wallTime: .seconds(1)))
        #expect(!LaunchArguments(command: command, host: host).list(name: "a", slot: 0).contains("--dev-bind"))
        command.devices = ["/dev/nvidia1", "/dev/nvidiactl"]
        let list = LaunchArguments(command: command, host: host).list(name: "a", slot: 0)
        #expect(list.indices.filter { list[$0] == "--dev-bind" }.map { list[$0 + 1] } == command.devices)
        let manager = ResourceManager(plan: try Self.plan(64, gibibytes: 256, gpus: 1), gpus: [GPUDevice(files: ["/dev/nvidia0"])])
        let gpus = try #require(manager.takeGPUs(1))
        #expect(manager.takeGPUs(1) == nil, "one run has it to itself")
        #expect(manager.takeGPUs(0) == [])
        manager.giveBack(gpus)
        #expect(manager.takeGPUs(2) == nil && manager.takeGPUs(1) == gpus)
    }
}

/// Set once, by anybody.
private final class TestFlag: Sendable {
    private let value = Mutex(false)
    func set() { value.withLock { $0 = true } }
    var isSet: Bool { value.withLock { $0 } }
}

/// The same numbers for the same seed.
private struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// What builds of environments get beside all jobs.
@Suite struct BuildCapacityTests {
    @Test func buildsHaveMemoryOfTheirOwn() throws {
        var settings = CapacitySettings()
        settings.reservedBytes = 1 << 30
        settings.buildBytes = nil
        let machine = MachineCapacity(cpuThousandths: 16_000, memoryBytes: 32 << 30)
        let plan = try CapacityPlan(settings: settings, machine: machine, gpus: 0)
        #expect(plan.builds.atOnce == 4 && plan.builds.memoryBytes == 1 << 30 && plan.builds.cpuThousandths == 2000)
        #expect(plan.capacity.memoryBytes == 27 << 30, "what builds may take at once is not sold")
        settings.buildBytes = 2 << 30
        let small = try CapacityPlan(settings: settings, machine: MachineCapacity(cpuThousandths: 2000, memoryBytes: 8 << 30), gpus: 0)
        #expect(small.builds.atOnce == 1 && small.builds.memoryBytes == 2 << 30 && small.builds.cpuThousandths == 1000)
        #expect(small.capacity.memoryBytes == 5 << 30)
        let limits = small.builds.limits(.seconds(300))
        #expect(limits.memoryBytes == 2 << 30 && limits.cpuThousandths == 1000 && limits.wallTime == .seconds(300))
        #expect(limits.temporaryBytes <= limits.memoryBytes / 2)
    }
}
