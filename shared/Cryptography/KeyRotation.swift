public import Contracts

/// Where a token-signing key stands in its life.
public enum SigningKeyState: String, Sendable, Codable, CaseIterable {
    /// In the JWKS, so that every verifier has it before the first token; signs nothing yet.
    case published
    /// Signs the new tokens; one key at a time.
    case signing
    /// Signs no more, but its last tokens still have to verify.
    case verifying
    /// Out of the JWKS; the private half is wiped.
    case gone

    /// Whether the JWKS lists a key in this state.
    public var isListed: Bool { self != .gone }
}

/// The rule by which token-signing keys change state: a pure function of the keys and the time.
public struct KeyRotation: Sendable, Hashable {
    /// One key as the rule sees it.
    public struct Entry: Sendable, Hashable {
        /// The key's `kid`.
        public var keyID: String
        /// Its present state.
        public var state: SigningKeyState
        /// When it took that state.
        public var since: Timestamp

        /// A key that has been in the state since that time.
        public init(keyID: String, state: SigningKeyState, since: Timestamp) {
            self.keyID = keyID
            self.state = state
            self.since = since
        }
    }

    /// One change that is due.
    public enum Step: Sendable, Hashable {
        /// Make a new key that begins in this state.
        case create(SigningKeyState)
        /// Move the key on to this state.
        case move(keyID: String, to: SigningKeyState)
    }

    /// How long a key is listed before it signs, in seconds: twice the JWKS max-age of 5 min.
    public var publishLeadSeconds: Int64
    /// How long a key signs before its successor is published, in seconds.
    public var signingPeriodSeconds: Int64
    /// How long a key is listed after it signed last, in seconds: a token's life plus the clocks' leeway.
    public var verifyingPeriodSeconds: Int64

    /// The rule with these periods.
    public init(
        publishLeadSeconds: Int64 = 600,
        signingPeriodSeconds: Int64 = 30 * 86_400,
        verifyingPeriodSeconds: Int64 = AccessTokenClaims.lifetimeSeconds + 60
    ) {
        self.publishLeadSeconds = publishLeadSeconds
        self.signingPeriodSeconds = signingPeriodSeconds
        self.verifyingPeriodSeconds = verifyingPeriodSeconds
    }

    /// The changes that are due now, in the order in which they must be made; `rotateNow` publishes a successor before its time.
    public func steps(for keys: [Entry], now: Timestamp, rotateNow: Bool = false) -> [Step] {
        var steps: [Step] = []
        let signing = keys.filter { $0.state == .signing }.sorted { $0.since < $1.since }
        let published = keys.filter { $0.state == .published }.sorted { $0.since < $1.since }

        // A second signing key cannot come about by this rule; should one exist, the younger one stays.
        for surplus in signing.dropLast() { steps.append(.move(keyID: surplus.keyID, to: .verifying)) }

        if let current = signing.last {
            if let successor = published.first {
                if age(successor, at: now) >= publishLeadSeconds {
                    steps.append(.move(keyID: current.keyID, to: .verifying))
                    steps.append(.move(keyID: successor.keyID, to: .signing))
                }
            } else if rotateNow || age(current, at: now) >= signingPeriodSeconds {
                steps.append(.create(.published))
            }
        } else if let successor = published.first {
            // Nothing can sign: waiting for caches would only keep everybody out, and an unknown `kid` is fetched at once.
            steps.append(.move(keyID: successor.keyID, to: .signing))
        } else {
            steps.append(.create(.signing))
        }

        for old in keys where old.state == .verifying && age(old, at: now) >= verifyingPeriodSeconds {
            steps.append(.move(keyID: old.keyID, to: .gone))
        }
        return steps
    }

    private func age(_ key: Entry, at now: Timestamp) -> Int64 { (now.microseconds - key.since.microseconds) / 1_000_000 }
}
