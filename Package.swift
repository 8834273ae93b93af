// swift-tools-version: 6.2
import PackageDescription

/// One concern of the shared code, one system library, one service, one test target: each is a line below.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

func cLibrary(_ name: String, apt: String) -> Target {
    .systemLibrary(name: name, path: "shared/C/\(name)", providers: [.apt([apt])])
}

/// Numbers and text, byte by byte: unoptimized they would be most of the time of the tests. Assertions stay.
let quick: [SwiftSetting] = [.unsafeFlags(["-O", "-assert-config", "Debug"], .when(configuration: .debug))]

func shared(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "shared/\(name)", exclude: ["README.md"], swiftSettings: strict + settings)
}

let everyShared: [Target.Dependency] = [
    "Contracts", "ServiceRuntime", "HTTPServing", "Postgres", "PostgresIdempotency", "Redis", "Messaging", "Cryptography", "BlobStore", "JobWorker",
    "KeyLimits",
]

func service(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = [], migrations: Bool = true) -> Target {
    .executableTarget(
        name: name,
        dependencies: everyShared + dependencies,
        path: "services/\(name)",
        exclude: ["README.md", "openapi.yaml"] + exclude,
        resources: migrations ? [.embedInCode("Migrations")] : [],
        swiftSettings: strict
    )
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests", exclude: exclude, swiftSettings: strict)
}

let package = Package(
    name: "auspex",
    targets: [
        cLibrary("CLinux", apt: "libc6-dev"),
        cLibrary("CLibEvent", apt: "libevent-dev"),
        cLibrary("CPostgres", apt: "libpq-dev"),
        cLibrary("CRedis", apt: "libhiredis-dev"),
        cLibrary("CRabbitMQ", apt: "librabbitmq-dev"),
        cLibrary("COpenSSL", apt: "libssl-dev"),
        cLibrary("CCurl", apt: "libcurl4-openssl-dev"),
        cLibrary("CCrypt", apt: "libcrypt-dev"),
        cLibrary("CZstd", apt: "libzstd-dev"),
        cLibrary("CZlib", apt: "zlib1g-dev"),
        .target(name: "CTOML", path: "shared/C/CTOML"),
        // Needs the header of libxxhash-dev.
        .target(name: "CBars", path: "shared/C/CBars"),

        shared("Contracts", settings: quick),
        shared("ServiceRuntime", ["CLibEvent", "CLinux", "Contracts"]),
        shared("Cryptography", ["COpenSSL", "CCrypt", "Contracts"]),
        shared("HTTPServing", ["Contracts", "Cryptography", "ServiceRuntime"]),
        shared("Postgres", ["CPostgres", "Contracts", "ServiceRuntime"]),
        shared("PostgresIdempotency", ["Contracts", "HTTPServing", "Postgres", "ServiceRuntime"]),
        shared("Redis", ["CRedis", "ServiceRuntime"]),
        shared("Messaging", ["CRabbitMQ", "Contracts", "Postgres", "ServiceRuntime"]),
        shared("KeyLimits", ["Contracts", "HTTPServing", "Redis", "ServiceRuntime"]),
        shared("BlobStore", ["Contracts", "Cryptography", "ServiceRuntime"]),
        shared("Bars", ["CBars", "CZstd", "Contracts"], settings: quick),
        shared("Schedules", ["Bars", "Contracts"]),
        shared("Requirements", ["Contracts"]),
        shared("LineConnections", ["Contracts", "ServiceRuntime"]),
        shared("OutboundHTTP", ["CCurl", "Cryptography", "ServiceRuntime"]),
        shared("JobWorker", ["Contracts", "Cryptography", "HTTPServing", "Messaging", "ServiceRuntime"]),
        shared("TestSupport", ["Contracts", "Cryptography", "HTTPServing", "Postgres", "ServiceRuntime"]),

        service("auth"),
        service("signals", ["CTOML", "Requirements", "Schedules"]),
        service("scheduler", ["Schedules"]),
        service(
            "executor",
            ["Bars", "CSandbox", "OutboundHTTP", "Requirements", "Schedules"],
            exclude: ["CSandbox", "SandboxLauncher"],
            migrations: false
        ),
        .systemLibrary(name: "CSandbox", path: "services/executor/CSandbox"),
        service("marketdata", ["Bars", "CZlib", "LineConnections", "OutboundHTTP"], exclude: ["Sources/README.md"]),
        .executableTarget(
            name: "sandbox-launch",
            path: "services/executor/SandboxLauncher",
            // It is C and starts once per run: without Swift's libraries, whose loading takes longer than all that it does itself.
            linkerSettings: [.linkedLibrary("seccomp"), .unsafeFlags(["-static-executable", "-nostartfiles"])]
        ),

        .executableTarget(
            name: "bars-bench",
            dependencies: ["Bars", "Postgres", "Redis", "ServiceRuntime"],
            path: "bench/BarsBench",
            swiftSettings: strict
        ),

        tests("Contracts", ["Contracts"], exclude: ["Golden"]),
        tests("ServiceRuntime", ["ServiceRuntime", "TestSupport"]),
        tests("Cryptography", ["Cryptography"]),
        tests("HTTPServing", ["HTTPServing", "TestSupport"]),
        tests("Postgres", ["Postgres", "TestSupport"]),
        tests("PostgresIdempotency", ["PostgresIdempotency", "TestSupport"]),
        tests("Redis", ["Redis", "TestSupport"]),
        tests("KeyLimits", ["KeyLimits", "TestSupport"]),
        tests("Messaging", ["Messaging", "TestSupport"]),
        tests("LineConnections", ["LineConnections", "TestSupport"]),
        tests("OutboundHTTP", ["OutboundHTTP", "TestSupport"], exclude: ["tls_front.py"]),
        tests("BlobStore", ["BlobStore", "TestSupport"]),
        tests("Bars", ["Bars", "TestSupport"]),
        tests("Schedules", ["Schedules", "TestSupport"]),
        tests("Requirements", ["Requirements"]),
        tests("JobWorker", ["JobWorker", "TestSupport"]),
        tests("auth", ["auth", "TestSupport"]),
        tests("signals", ["signals", "TestSupport"]),
        tests("scheduler", ["scheduler", "TestSupport"]),
        tests("executor", ["executor", "sandbox-launch", "TestSupport"]),
        tests("marketdata", ["marketdata", "LineConnections", "OutboundHTTP", "TestSupport"], exclude: ["Golden", "IQFeed/fake_iqconnect.py"]),
    ],
    cxxLanguageStandard: .cxx20
)

// AUSPEX_TARGETS="Bars BarsTests" builds one corner of the house (those targets and what they need) instead of all of it.
if let wanted = Context.environment["AUSPEX_TARGETS"]?.split(separator: " ").map(String.init) {
    let byName = Dictionary(uniqueKeysWithValues: package.targets.map { ($0.name, $0) })
    var kept: Set<String> = []
    var open = wanted
    while let name = open.popLast() {
        guard kept.insert(name).inserted, let target = byName[name] else { continue }
        for dependency in target.dependencies {
            switch dependency {
            case .byNameItem(let name, _), .targetItem(let name, _): open.append(name)
            default: break
            }
        }
    }
    package.targets.removeAll { !kept.contains($0.name) }
}
