import Contracts
import HTTPServing

/// The internal routes about who works and what it can do.
struct WorkerRoutes: Sendable {
    private static let mostPythons = 64
    private static let maximumTextBytes = 200

    let book: WorkerBook

    /// Adds them to the router of the internal port.
    func add(to router: inout Router, authenticating callers: ([String]) -> any Middleware) {
        router.grouped(callers(["executor"])).post("/internal/v1/workers/report", report)
        router.grouped(callers(["signals"])).get("/internal/v1/workers", list)
    }

    /// `POST /internal/v1/workers/report`
    private func report(_ request: Request) async throws -> Response {
        let report = try request.json(WorkerReport.self)
        let texts = [("worker", [report.worker])] + [("pythons", report.pythons.flatMap { [$0.implementation, $0.series, $0.version] })]
        for (field, values) in texts {
            for text in values where !(1...Self.maximumTextBytes).contains(text.utf8.count) || text.utf8.contains(where: { $0 < 32 }) {
                throw Problem.badRequest(
                    code: "invalid_value",
                    detail: "1 to \(Self.maximumTextBytes) characters, none of them of control, would be right.",
                    field: field
                )
            }
        }
        guard report.pythons.count <= Self.mostPythons else {
            throw Problem.badRequest(code: "invalid_value", detail: "At most \(Self.mostPythons) would be right.", field: "pythons")
        }
        let classes = report.classes
        guard Set(classes.map(\.class)).count == classes.count, classes.allSatisfy({ $0.slots >= 0 && $0.busy >= 0 }) else {
            throw Problem.badRequest(code: "invalid_value", detail: "Each class once, with no negative number, would be right.", field: "classes")
        }
        try await book.keep(report)
        return .noContent
    }

    /// `GET /internal/v1/workers`
    private func list(_ request: Request) async throws -> Response {
        try .json(WorkersAnswer(workers: try await book.present()))
    }
}
