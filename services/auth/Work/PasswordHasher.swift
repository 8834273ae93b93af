import Cryptography
import ServiceRuntime

/// Hashes and checks passwords on the CPU pool's lane for them; a full lane throws `CPUPoolError.laneFull`, which clients see as 429.
struct PasswordHasher: Sendable {
    private let pool: CPUPool
    /// The logarithm of bcrypt's rounds for new hashes.
    let cost: Int
    /// What the password of an unknown account is compared with, so that the answer takes as long as for a known one.
    private let decoy: String
    private let check: @Sendable (_ password: String, _ hash: String) throws -> Bool

    /// `check` is the computation itself, so that a test can see how often and with which cost it is made.
    init(
        pool: CPUPool,
        cost: Int,
        check: @escaping @Sendable (_ password: String, _ hash: String) throws -> Bool = { try PasswordHash.verify($0, against: $1) }
    ) async throws {
        self.pool = pool
        self.check = check
        self.cost = cost
        decoy = try await pool.run(lane: .passwordHashing) { try PasswordHash.hash(RandomToken.base62(32), cost: cost) }
    }

    /// A hash of a password that the policy has accepted.
    func hash(_ password: String) async throws -> String {
        let cost = cost
        return try await pool.run(lane: .passwordHashing) { try PasswordHash.hash(password, cost: cost) }
    }

    /// Whether the password is the one behind `hash`; without a hash the same work is done and the answer is no.
    func verify(_ password: String, against hash: String?) async throws -> Bool {
        let compared = hash ?? decoy
        let matches = try await pool.run(lane: .passwordHashing) { [check] in
            do {
                return try check(password, compared)
            } catch CryptographyError.passwordTooLong, CryptographyError.passwordHoldsNUL {
                // No such password can have been set, for a known account as little as for an unknown one.
                return false
            }
        }
        return matches && hash != nil
    }

    /// Whether a stored hash was made with fewer rounds than new ones are.
    func isOutdated(_ hash: String) -> Bool { (PasswordHash.cost(of: hash) ?? 0) < cost }
}
