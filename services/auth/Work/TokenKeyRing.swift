import Contracts
import Cryptography
import ServiceRuntime
import Synchronization

/// The keys that sign and verify access tokens, as a snapshot of the store, and the hand that moves them from state to state.
///
/// Every replica runs the rotation rule under one lock of the store and then reads what is there, so all of them list a key at least
/// `publishLeadSeconds` before one of them signs with it.
final class TokenKeyRing: Component {
    private struct Snapshot {
        var signing: SigningKey?
        var verifying: [String: VerifyingKey] = [:]
        var document: [UInt8] = Array(#"{"keys":[]}"#.utf8)
    }

    let name = "token-keys"
    /// How often the store is read, far below the time for which a key is listed before it signs.
    static let refreshInterval = Duration.seconds(15)
    /// How long verifiers may keep the document, in seconds; half the publish lead of the rotation rule.
    static let documentMaxAgeSeconds = 300

    private let store: any AuthStore
    private let box: MasterKeyBox
    private let rotation: KeyRotation
    private let time: any TimeSource
    private let control: EventLoop?
    private let check: ReadinessCheck?
    private let snapshot = Mutex(Snapshot())
    private let work = BackgroundTask()
    private let logger = Logger("token-keys")

    init(
        store: any AuthStore,
        box: MasterKeyBox,
        rotation: KeyRotation = KeyRotation(),
        time: any TimeSource,
        control: EventLoop? = nil,
        readiness: Readiness? = nil
    ) {
        self.store = store
        self.box = box
        self.rotation = rotation
        self.time = time
        self.control = control
        self.check = readiness?.register(name)
    }

    /// Begins to load and rotate; with the store away it goes on trying, and logins answer 503 meanwhile.
    func start() async throws {
        guard let control else { return try await refresh() }
        work.start(on: control) { [self] in
            while !Task.isCancelled {
                let loaded = await refreshReporting()
                try? await time.sleep(for: loaded ? Self.refreshInterval : .seconds(1))
            }
        }
    }

    func stop() async {
        await work.stop()
    }

    /// The key to sign with.
    func signingKey() throws(AuthError) -> SigningKey {
        guard let key = snapshot.withLock({ $0.signing }) else { throw .notReady }
        return key
    }

    /// The listed key of that name.
    func verifyingKey(_ keyID: String) -> VerifyingKey? { snapshot.withLock { $0.verifying[keyID] } }

    /// The JWKS document.
    var document: [UInt8] { snapshot.withLock { $0.document } }

    /// Runs the rotation rule and takes a new snapshot; `rotateNow` publishes a successor before its time.
    func refresh(rotateNow: Bool = false) async throws {
        let keys = try await rotate(rotateNow: rotateNow)
        var next = Snapshot()
        for key in keys where key.state.isListed {
            next.verifying[key.keyID] = try VerifyingKey(jwk: key.publicKey)
            if key.state == .signing { next.signing = try key.signingKey(box) }
        }
        next.document = try JWKSet(keys: keys.filter(\.state.isListed).map(\.publicKey)).json()
        snapshot.withLock { $0 = next }
    }

    private func refreshReporting() async -> Bool {
        do {
            try await refresh()
            check?.set(ready: true)
            return true
        } catch {
            logger.error("token keys not loaded", ["error": .string("\(error)")])
            check?.set(ready: false, detail: "not loaded")
            return false
        }
    }

    private func rotate(rotateNow: Bool) async throws -> [TokenKey] {
        let (box, rotation, now) = (box, rotation, time.now())
        return try await store.transaction { transaction in
            try await transaction.lockTokenKeys()
            var keys = try await transaction.tokenKeys()
            for step in rotation.steps(for: keys.map(\.rotationEntry), now: now, rotateNow: rotateNow) {
                switch step {
                case .create(let state):
                    let key = try TokenKey.make(state: state, box: box, now: now)
                    try await transaction.insert(key)
                    try await transaction.record(
                        AuditEntry(
                            .tokenKeyCreated,
                            accountID: nil,
                            actorID: nil,
                            subject: key.keyID,
                            detail: ["state": .string(state.rawValue)],
                            origin: .local,
                            at: now
                        )
                    )
                    keys.append(key)
                case .move(let keyID, let state):
                    guard let index = keys.firstIndex(where: { $0.keyID == keyID }) else { continue }
                    let previous = keys[index].state
                    keys[index].move(to: state, at: now)
                    try await transaction.update(keys[index])
                    try await transaction.record(
                        AuditEntry(
                            .tokenKeyMoved,
                            accountID: nil,
                            actorID: nil,
                            subject: keyID,
                            detail: ["from": .string(previous.rawValue), "to": .string(state.rawValue)],
                            origin: .local,
                            at: now
                        )
                    )
                }
            }
            return keys
        }
    }

    /// Seals every private key anew under the current master key; gives how many were under an older one.
    func rewrap() async throws -> Int {
        let (box, now) = (box, time.now())
        return try await store.transaction { transaction in
            try await transaction.lockTokenKeys()
            var count = 0
            for var key in try await transaction.tokenKeys() {
                guard let sealed = key.sealedPrivateKey, let rewrapped = try box.rewrap(sealed, context: key.sealContext) else { continue }
                key.sealedPrivateKey = rewrapped
                try await transaction.update(key)
                count += 1
            }
            if count > 0 {
                try await transaction.record(
                    AuditEntry(
                        .tokenKeysRewrapped,
                        accountID: nil,
                        actorID: nil,
                        subject: "version \(box.currentVersion)",
                        detail: ["keys": .integer(Int64(count))],
                        origin: .local,
                        at: now
                    )
                )
            }
            return count
        }
    }
}
