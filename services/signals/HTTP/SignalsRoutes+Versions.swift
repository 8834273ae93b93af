import BlobStore
import Contracts
import FoundationEssentials
import HTTPServing
import ServiceRuntime

extension SignalsRoutes {
    private struct NewVersionBody: Decodable {
        var files: [FileBody]
        var note: String?
    }

    private struct FileBody: Decodable {
        var path: String
        /// The content as text.
        var text: String?
        /// The content as base64.
        var contentBase64: String?
        /// The hash of content that was uploaded before.
        var sha256: SHA256Digest?
        /// Hashes of the parts that the content was uploaded in.
        var parts: [SHA256Digest]?
    }

    private struct RollbackBody: Decodable {
        var note: String?
    }

    /// `GET /api/signals/{id}/versions`
    func listVersions(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["limit", "cursor"])
        let (signal, _) = try await ownSignal(request)
        let limit = try request.query.integer("limit", range: 1...100, default: 20)
        let before = try request.query.value("cursor", as: Int.self)
        let found = try await store.versions(signal.id, before: before, limit: limit + 1)
        let page = found.prefix(limit)
        return Self.json(
            SignalAnswers.page(page.map(SignalAnswers.version), nextCursor: found.count > limit ? page.last.map { String($0.number) } : nil)
        )
    }

    /// `POST /api/signals/{id}/versions`
    func createVersion(_ request: Request) async throws -> Response {
        let (signal, caller) = try await ownSignal(request)
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        let userID = try request.authenticated().userID
        let body = try request.json(NewVersionBody.self)
        let note = try Self.note(body.note)
        guard body.files.count <= ProjectLimits.files else {
            throw Problem.unprocessable(code: "too_many_files", detail: "At most \(ProjectLimits.files) files.", field: "files")
        }
        let descriptions = try body.files.enumerated().map { index, file in try Self.description(of: file, field: "files[\(index)]") }
        let draft = try await drafts.prepare(descriptions, note: note, signalID: signal.id, accountID: caller.accountID, userID: userID)
        try await versionQuotas?.admit(draft, of: signal.accountID)
        return try await effects.run(request) { store in
            Self.json(SignalAnswers.version(try await store.addVersion(draft)), status: .created)
        }
    }

    private static func description(of file: FileBody, field: String) throws -> FileDescription {
        switch (file.text, file.contentBase64, file.sha256, file.parts) {
        case (let text?, nil, nil, nil): return FileDescription(path: file.path, content: .bytes(Array(text.utf8)))
        case (nil, let encoded?, nil, nil):
            guard let data = Data(base64Encoded: encoded) else {
                throw Problem.badRequest(code: "invalid_value", detail: "The content is not base64.", field: "\(field).content_base64")
            }
            return FileDescription(path: file.path, content: .bytes([UInt8](data)))
        case (nil, nil, let digest?, nil): return FileDescription(path: file.path, content: .blob(digest))
        case (nil, nil, let digest?, let parts?):
            guard (1...64).contains(parts.count) else {
                throw Problem.badRequest(code: "invalid_value", detail: "A file has 1 to 64 parts.", field: "\(field).parts")
            }
            return FileDescription(path: file.path, content: .parts(parts, whole: digest))
        default:
            throw Problem.badRequest(
                code: "invalid_value",
                detail: "A file has one of: text, content_base64, or sha256 (with parts if it was uploaded in parts).",
                field: field
            )
        }
    }

    private static func note(_ text: String?) throws -> String {
        let text = text ?? ""
        guard SignalVersion.noteCharacters.contains(text.unicodeScalars.count), isPlain(text, allowingLines: true) else {
            throw Problem.badRequest(
                code: "invalid_value",
                detail: "A note has at most \(SignalVersion.noteCharacters.upperBound) characters.",
                field: "note"
            )
        }
        return text
    }

    /// `GET /api/signals/{id}/versions/{version}`
    func version(_ request: Request) async throws -> Response {
        Self.json(SignalAnswers.version(try await ownVersion(request).version))
    }

    /// `GET /api/signals/{id}/versions/{version}/file?path=`
    func versionFile(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["path"])
        let path = try request.query.required("path")
        let (_, version, _) = try await ownVersion(request)
        guard let file = version.files.first(where: { $0.path == path }), var response = try await self.file(file.sha256, within: providerFiles)
        else {
            throw Problem.notFound(field: "path")
        }
        // A provider's file is data here, never a page of ours.
        response.headers["Content-Disposition"] = "attachment"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
    }

    /// `GET /api/signals/{id}/versions/{version}/diff?from=`
    func versionDifference(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["from"])
        let (signal, version, _) = try await ownVersion(request)
        let number = try request.query.integer("from", range: 1...Int(Int32.max), default: max(1, version.number - 1))
        guard let old = try await store.version(signal.id, number: number) else { throw Problem.notFound(field: "from") }
        let difference = try await drafts.difference(from: old, to: version)
        return Self.json(SignalAnswers.difference(difference, from: number, to: version.number))
    }

    /// `POST /api/signals/{id}/versions/{version}/rollback`: the files of an old version become the newest one.
    func rollback(_ request: Request) async throws -> Response {
        let (signal, version, _) = try await ownVersion(request)
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        let userID = try request.authenticated().userID
        let body = request.body.isEmpty ? RollbackBody() : try request.json(RollbackBody.self)
        let draft = NewVersion(
            signalID: signal.id,
            manifest: version.manifest,
            files: version.files,
            note: body.note == nil ? "back to version \(version.number)" : try Self.note(body.note),
            restoredFrom: version.number,
            createdBy: userID,
            createdAt: time.now()
        )
        try await versionQuotas?.admit(draft, of: signal.accountID)
        return try await effects.run(request) { store in
            Self.json(SignalAnswers.version(try await store.addVersion(draft)), status: .created)
        }
    }

    /// `PUT /api/signals/{id}/blobs/{sha256}`: one file, or one part of a larger file.
    func uploadBlob(_ request: Request) async throws -> Response {
        let (_, caller) = try await ownSignal(request)
        let sha256 = try request.parameter("sha256", as: SHA256Digest.self)
        try await drafts.upload(request.body, sha256: sha256, accountID: caller.accountID)
        return Self.json(["sha256": .string(sha256.hex), "bytes": .integer(Int64(request.body.count))])
    }

    /// `GET /api/signals/{id}/blobs/{sha256}`: whether it is here already, so that an upload can go on where it broke off.
    func uploadedBlob(_ request: Request) async throws -> Response {
        let (_, caller) = try await ownSignal(request)
        let sha256 = try request.parameter("sha256", as: SHA256Digest.self)
        guard let bytes = try await store.ownedBlobs(caller.accountID, among: [sha256])[sha256] else { throw Problem.notFound(field: "sha256") }
        return Self.json(["sha256": .string(sha256.hex), "bytes": .integer(Int64(bytes))])
    }
}
