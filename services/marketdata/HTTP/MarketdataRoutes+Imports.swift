import Contracts
import HTTPServing

extension MarketdataRoutes {
    /// `POST /api/imports?filename=…`, administrators only; the body is the file.
    func importFile(_ request: Request) async throws -> Response {
        try requireSession(request, anyOf: "admin")
        try request.query.reject(unknownExcept: ["filename"] + ImportOptions.parameters)
        let name = try request.query.required("filename")
        guard ImportOptions.isFileName(name) else {
            throw MarketdataError.invalid(field: "filename", code: "invalid_parameter", detail: "At most 255 bytes of text would be right.")
        }
        let options = try ImportOptions { request.query.string($0) }
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        let outcome = try await importer.run(request.body, path: name, options: options)
        let isNew = outcome.days.added + outcome.days.extended + outcome.days.revised > 0
        let response = try Response.json(ImportAnswer(outcome), status: isNew ? .created : .ok)
        // The import is a transaction of its own, and the same file again changes nothing: here only the answer is kept.
        return try await effects.run(request) { _ in response }
    }
}
