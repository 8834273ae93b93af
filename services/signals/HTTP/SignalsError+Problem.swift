import Contracts
import HTTPServing
import Postgres

extension UploadProblems: ProblemRepresentable {
    /// The first fault as the problem itself, all of them in `problems`.
    var problem: Problem {
        let first = problems.first ?? UploadProblem(code: "bad_upload", field: "files", message: "the files cannot be used")
        var problem = Problem.unprocessable(code: first.code, detail: "\(first.field): \(first.message).", field: first.field)
        problem.extra = [
            "problems": .array(
                problems.prefix(50).map { ["code": .string($0.code), "field": .string($0.field), "detail": .string($0.message)] }
            )
        ]
        return problem
    }
}

extension SignalsStoreError: ProblemRepresentable {
    var problem: Problem {
        switch self {
        case .unknownSignal, .gone: .notFound(field: "id")
        case .unknownVersion: .notFound(field: "version")
        case .alreadySubscribed: .conflict(code: "already_subscribed", detail: "The subscription is being changed by another request; try again.")
        }
    }
}

/// What this service refuses, in the words of the API.
enum Refusal {
    static let insufficientScope = Problem.forbidden(code: "insufficient_scope", detail: "This API key has no scope for this.")
    static let notSubscribed = Problem.forbidden(code: "not_subscribed", detail: "Subscribe to the signal to read its predictions.")
    static let notOwner = Problem.forbidden(code: "not_owner", detail: "Only the provider of the signal may do this.")
}

extension SignalsRoutes {
    /// What clients read of errors of the shared modules.
    static func problem(of error: any Error) -> Problem? {
        switch error {
        case let error as PostgresError where error.isPassing:
            .unavailable(code: "store_unavailable", detail: "The database does not answer at the moment; try again.")
        case ServiceClientError.refused(_, 429, "queue_full", let detail): .tooManyRequests(code: "queue_full", detail: detail, retryAfterSeconds: 5)
        case let error as ServiceClientError where error.isPassing:
            .unavailable(code: "dependency_away", detail: "Another part of the platform does not answer at the moment; try again.")
        default: nil
        }
    }
}
