import Contracts
import Cryptography
import ServiceRuntime

/// For which runs a sandbox may be used that was started ahead: those of one version of one signal, in one size and interpreter.
struct WarmKey: Sendable, Hashable {
    /// Whose signal it is.
    var accountID: AccountID
    /// The signal: what its version's packages were resolved to is its own.
    var signalID: SignalID
    /// The version, files and manifest.
    var versionSHA256: SHA256Digest
    /// The files by themselves, as the folder that is mounted knows them.
    var codeKey: String
    /// The size.
    var resourceClass: ResourceClass

    /// That of a run in the given size.
    init(accountID: AccountID, signalID: SignalID, versionSHA256: SHA256Digest, files: [CodeFile], resourceClass: ResourceClass) {
        self.accountID = accountID
        self.signalID = signalID
        self.versionSHA256 = versionSHA256
        codeKey = CodeTree.key(files)
        self.resourceClass = resourceClass
    }
}

/// A run that will be due, for which a sandbox could be ready.
struct WarmRequest: Sendable {
    /// What the sandbox would be of.
    var key: WarmKey
    /// When the run is due.
    var dueAt: Timestamp
    /// The code.
    var files: [CodeFile]
    /// What the code says of itself.
    var manifest: Manifest
    /// Lets the code be fetched.
    var jobToken: String

    /// The signal; another version of it makes this one useless.
    var signalID: SignalID { key.signalID }
    /// Whether packages come with the code: they make up most of what a warm sandbox keeps.
    var hasPackages: Bool { files.contains { $0.path == "requirements.txt" } }
}

/// A sandbox that has been started ahead of a run, with what it was made of.
struct WarmSandbox: Sendable {
    /// The program, waiting.
    var sandbox: StartedSandbox
    /// The author's files, which stay on the disk while this lives.
    var folder: DiskCache.Lease
    /// The environment, which stays as well.
    var environment: PythonEnvironment
}
