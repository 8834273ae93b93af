import HTTPServing
import ServiceRuntime

/// What auth counts besides requests.
struct AuthMetrics: Sendable {
    /// Runs an attempt to get tokens and counts its outcome: `ok`, the code of the refusal, or `error`.
    func counting<Outcome>(_ attempt: String, _ body: () async throws -> Outcome) async throws -> Outcome {
        do {
            let outcome = try await body()
            count(attempt, "ok")
            return outcome
        } catch let error as AuthError {
            count(attempt, error.problem.code)
            throw error
        } catch {
            count(attempt, "error")
            throw error
        }
    }

    /// Counts an answer about an API key.
    func countVerdict(_ outcome: String) {
        Metrics.shared.counter("auspex_auth_key_verdicts_total", help: "Answers about API keys.", labels: ["outcome": outcome]).increment()
    }

    private func count(_ attempt: String, _ outcome: String) {
        Metrics.shared.counter(
            "auspex_auth_attempts_total",
            help: "Logins and refreshes.",
            labels: ["attempt": attempt, "outcome": outcome]
        ).increment()
    }
}
