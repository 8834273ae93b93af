import Contracts
import HTTPServing
import Postgres

extension PostgresAuthTransaction {
    func deleteEnded(before now: Timestamp) async throws {
        _ = try await connection.pipeline([
            // Refresh tokens go with their session.
            "DELETE FROM sessions WHERE ends_at < \(now - .seconds(Retention.endedSessionSeconds))",
            "DELETE FROM throttles WHERE window_started_at < \(now - .seconds(Retention.throttleSeconds))",
            "DELETE FROM login_places WHERE last_login_at < \(now - .seconds(Retention.loginPlaceSeconds))",
            "DELETE FROM idempotency_keys WHERE created_at < \(now - IdempotentRequest.lifetime)",
            "DELETE FROM credit_blocks WHERE taken_at < \(now - .seconds(Retention.creditBlockSeconds))",
        ])
    }
}
