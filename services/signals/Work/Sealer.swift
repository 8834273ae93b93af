import Contracts
import Cryptography
import ServiceRuntime
import Synchronization

/// Signs seals with the service's own key, whose public half everybody may have.
struct LedgerSigner: Sendable {
    let key: SigningKey

    func sign(_ text: String) throws -> (signature: String, keyID: String) {
        (Base64URL.encode(try key.signature(for: Array(text.utf8))), key.keyID)
    }

    /// The public half, as the store keeps it.
    func publicKey(now: Timestamp) throws -> LedgerKey {
        LedgerKey(keyID: key.keyID, jwk: String(decoding: try WireJSON.encode(key.verifyingKey.jwk()), as: UTF8.self), firstUsedAt: now)
    }

    /// The keys by their ids; what cannot be read is left out, and then its seals do not verify.
    static func verifyingKeys(_ keys: [LedgerKey]) -> [String: VerifyingKey] {
        var found: [String: VerifyingKey] = [:]
        for key in keys {
            if let jwk: JWK = try? WireJSON.decode(from: Array(key.jwk.utf8)) { found[key.keyID] = try? VerifyingKey(jwk: jwk) }
        }
        return found
    }

    /// Whether a seal carries a good signature of one of these keys.
    static func isGood(_ seal: LedgerSeal, keys: [String: VerifyingKey]) -> Bool {
        guard let keyID = seal.keyID, let key = keys[keyID], let signature = seal.signature.flatMap({ Base64URL.decode($0) }),
            let sealedAt = seal.sealedAt
        else { return false }
        let text = LedgerSeal.signedText(number: seal.number, root: seal.root, sealedAt: sealedAt)
        return key.isValid(signature: signature, for: Array(text.utf8))
    }
}

/// Seals all chains that have grown, once a second; with several replicas the one that gets the lock does it.
final class Sealer: Component {
    let name = "sealer"
    private let store: any SignalsStore
    private let signer: LedgerSigner
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let isKeyKnown = Mutex(false)
    private let logger = Logger("sealer")

    init(store: any SignalsStore, signer: LedgerSigner, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.signer = signer
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: .seconds(1), time: time) { [self] in await round() }
    }

    func stop() async {
        await work.stop()
        // What was appended in the last second should not wait for the next start.
        await round()
    }

    /// Seals what is there to seal now.
    func round() async {
        do {
            let signer = signer
            if !isKeyKnown.withLock({ $0 }) {
                // Before the first seal, so that no seal is ever without its key.
                try await store.remember(try signer.publicKey(now: time.now()))
                isKeyKnown.withLock { $0 = true }
            }
            if let seal = try await store.seal(signing: { try signer.sign($0) }) {
                logger.debug("sealed", ["seal": .integer(Int(seal.number)), "heads": .integer(seal.heads.count)])
            }
        } catch {
            logger.warning("could not seal; trying again in a second", ["reason": .string("\(error)")])
        }
    }
}
