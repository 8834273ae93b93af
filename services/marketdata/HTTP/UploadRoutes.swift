import BlobStore
import Contracts
import Cryptography
import HTTPServing
import Postgres
import PostgresIdempotency
import ServiceRuntime

/// Files of any size: announced, sent in parts that may come in any order and again, imported in the background. Administrators only.
struct UploadRoutes: Sendable {
    let uploads: UploadStore
    let blobs: any BlobStore
    let imports: UploadImports
    let idempotency: Idempotency<PostgresIdempotencyStore>
    let time: any TimeSource

    init(uploads: UploadStore, blobs: any BlobStore, imports: UploadImports, time: any TimeSource) {
        self.uploads = uploads
        self.blobs = blobs
        self.imports = imports
        self.time = time
        idempotency = Idempotency(store: PostgresIdempotencyStore(pool: uploads.pool, takesOldAlong: true) {})
    }

    func addPublicRoutes(to router: inout Router, authentication: any Middleware) {
        let people = router.grouped(authentication)
        people.post("/api/uploads", create)
        people.get("/api/uploads/{id}", find)
        people.delete("/api/uploads/{id}", delete)
        people.put("/api/uploads/{id}/parts/{number}", maximumBodyBytes: Upload.maximumPartBytes, putPart)
        people.post("/api/uploads/{id}/import", beginImport)
    }

    private struct NewUpload: Decodable {
        let filename: String
        let bytes: Int
        let partBytes: Int?
        let sha256: SHA256Digest?
    }

    /// `POST /api/uploads`
    private func create(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        let body = try request.json(NewUpload.self)
        guard ImportOptions.isFileName(body.filename) else {
            throw MarketdataError.invalid(field: "filename", code: "invalid_filename", detail: "1 to 255 bytes of text would be right.")
        }
        guard (1...Upload.maximumBytes).contains(body.bytes) else {
            throw MarketdataError.invalid(field: "bytes", code: "invalid_bytes", detail: "1 to \(Upload.maximumBytes) would be right.")
        }
        let partBytes = body.partBytes ?? Upload.maximumPartBytes
        guard (Upload.minimumPartBytes...Upload.maximumPartBytes).contains(partBytes) else {
            throw MarketdataError.invalid(
                field: "part_bytes",
                code: "invalid_part_bytes",
                detail: "\(Upload.minimumPartBytes) to \(Upload.maximumPartBytes) would be right."
            )
        }
        let now = time.now()
        let upload = Upload(
            id: .make(),
            accountID: try request.authenticated().accountID,
            fileName: body.filename,
            bytes: body.bytes,
            partBytes: partBytes,
            sha256: body.sha256,
            state: .open,
            options: [:],
            received: [],
            daysDone: 0,
            daysTotal: nil,
            rowsDone: 0,
            attempts: 0,
            result: nil,
            problem: nil,
            createdAt: now,
            touchedAt: now
        )
        return try await idempotency.run(request) { connection in
            try await uploads.create(upload, on: connection)
            return try .json(UploadAnswer(upload), status: .created)
        }
    }

    /// `GET /api/uploads/{id}`
    private func find(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        return try .json(UploadAnswer(try await upload(request)))
    }

    /// `DELETE /api/uploads/{id}`
    private func delete(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        let upload = try await upload(request)
        guard try await uploads.delete(upload.id, of: upload.accountID) else { throw UploadError.state(.importing) }
        return .noContent
    }

    /// `PUT /api/uploads/{id}/parts/{number}`: the body is the part; the same part again changes nothing.
    private func putPart(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        let number = try request.parameter("number", as: Int.self)
        let upload = try await upload(request)
        guard upload.state == .open || upload.state == .failed else { throw UploadError.state(upload.state) }
        guard let expected = upload.length(ofPart: number) else { throw UploadError.noSuchPart(number, of: upload.partCount) }
        guard request.body.count == expected else { throw UploadError.wrongLength(request.body.count, expected: expected) }
        let digest = try await blobs.put(request.body)
        guard try await uploads.record(part: number, sha256: digest, of: upload.id, at: time.now()) else { throw UploadError.state(.importing) }
        return try .json(UploadAnswer(try await self.upload(request)))
    }

    /// `POST /api/uploads/{id}/import`, with the parameters of `/api/imports`
    private func beginImport(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: ImportOptions.parameters)
        _ = try ImportOptions { request.query.string($0) }
        let upload = try await upload(request)
        // Asked again, say because the first answer was lost, it is under way.
        if upload.state == .importing { return try .json(UploadAnswer(upload), status: .accepted) }
        guard upload.state != .imported else { throw UploadError.state(upload.state) }
        if let missing = upload.missingPart { throw UploadError.incomplete(missing: missing) }
        var options: [String: String] = [:]
        for name in ImportOptions.parameters { options[name] = request.query.string(name) }
        guard try await uploads.beginImport(of: upload.id, options: options, at: time.now()) else { throw UploadError.state(.importing) }
        imports.wake()
        return try .json(UploadAnswer(try await self.upload(request)), status: .accepted)
    }

    /// The caller's own upload: nobody learns of another account's.
    private func upload(_ request: Request) async throws -> Upload {
        let id = try request.parameter("id", as: UploadID.self)
        guard let found = try await uploads.find(id, of: try request.authenticated().accountID) else { throw UploadError.unknown }
        return found
    }
}
