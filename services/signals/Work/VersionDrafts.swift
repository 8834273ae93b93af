import BlobStore
import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import Requirements
import ServiceRuntime

/// Everything that is wrong with an upload.
struct UploadProblems: Error, Sendable {
    var problems: [UploadProblem]
}

/// One file as a provider sends or names it: its bytes, or the hash of bytes sent before.
struct FileDescription: Sendable {
    enum Content: Sendable {
        case bytes([UInt8])
        /// Sent before as one blob.
        case blob(SHA256Digest)
        /// Sent before in parts of at most 8 MiB, in this order.
        case parts([SHA256Digest], whole: SHA256Digest)
    }

    var path: String
    var content: Content
}

/// Turns uploaded files into a version: all rules are checked before anything is kept.
struct VersionDrafts: Sendable {
    let store: any SignalsStore
    let blobs: any BlobStore
    let time: any TimeSource
    /// The Pythons of the executors; none when nobody knows.
    var pythons: @Sendable (ResourceClass) async -> [[WorkerPython]] = { _ in [] }

    /// Keeps one blob of an account.
    func upload(_ bytes: [UInt8], sha256: SHA256Digest, accountID: AccountID) async throws {
        guard SHA256.digest(bytes) == sha256 else {
            throw UploadProblems(problems: [
                UploadProblem(code: "wrong_sha256", field: "sha256", message: "the body's SHA-256 is not the one in the path")
            ])
        }
        _ = try await blobs.put(bytes)
        try await store.record(Upload(accountID: accountID, sha256: sha256, bytes: bytes.count, uploadedAt: time.now()))
    }

    /// Checks everything, keeps the files, and gives what only wants a number.
    func prepare(_ descriptions: [FileDescription], note: String, signalID: SignalID, accountID: AccountID, userID: UserID) async throws -> NewVersion
    {
        try await assemble(descriptions, accountID: accountID)
        let files = try await resolve(descriptions, accountID: accountID)
        let manifest = try await check(files, descriptions: descriptions)
        let now = time.now()
        for (description, file) in zip(descriptions, files) {
            // What was uploaded a day ago must not be swept away while it is being taken over.
            if case .bytes = description.content { continue }
            guard try await blobs.touch(file.sha256) else {
                throw UploadProblems(problems: [UploadProblem(code: "unknown_blob", field: file.path, message: "the content is not there any more")])
            }
            try await store.record(Upload(accountID: accountID, sha256: file.sha256, bytes: file.bytes, uploadedAt: now))
        }
        // These have no row of their own: until the version names them they are kept by being young.
        for description in descriptions {
            if case .bytes(let bytes) = description.content { _ = try await blobs.put(bytes) }
        }
        return NewVersion(signalID: signalID, manifest: manifest, files: files, note: note, createdBy: userID, createdAt: now)
    }

    /// The difference between two versions, with hunks for the texts among the files.
    func difference(from old: SignalVersion, to new: SignalVersion) async throws -> VersionDiff {
        var changes = VersionDiff.fileChanges(from: old.files, to: new.files)
        for index in changes.indices {
            let sizes = [old, new].compactMap { version in version.files.first { $0.path == changes[index].path }?.bytes }
            guard sizes.allSatisfy({ $0 <= ProjectLimits.textBytes }) else { continue }
            guard let before = try await text(changes[index].fromSHA256), let after = try await text(changes[index].toSHA256) else { continue }
            changes[index].unified = UnifiedDiff.text(from: before, to: after)
        }
        let manifest = VersionDiff.manifestChanges(from: try WireJSON.value(of: old.manifest), to: try WireJSON.value(of: new.manifest))
        return VersionDiff(files: changes, manifest: manifest)
    }

    /// A file as text; empty for a file that is not there, nil for what is no text.
    private func text(_ digest: SHA256Digest?) async throws -> String? {
        guard let digest else { return "" }
        guard let bytes = try await blobs.get(digest), !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    /// Joins the parts of large files, each into one blob under its own hash.
    private func assemble(_ descriptions: [FileDescription], accountID: AccountID) async throws {
        for description in descriptions {
            guard case .parts(let parts, let whole) = description.content else { continue }
            let owned = try await store.ownedBlobs(accountID, among: parts + [whole])
            if owned[whole] != nil { continue }
            let total = parts.reduce(0) { $0 + (owned[$1] ?? 0) }
            guard parts.allSatisfy({ owned[$0] != nil }), total <= ProjectLimits.totalBytes else {
                throw UploadProblems(problems: [
                    UploadProblem(
                        code: "unknown_blob",
                        field: description.path,
                        message: "a part has not been uploaded by this account, or the parts are too large"
                    )
                ])
            }
            try await join(parts, into: whole, path: description.path)
            try await store.record(Upload(accountID: accountID, sha256: whole, bytes: total, uploadedAt: time.now()))
        }
    }

    private func join(_ parts: [SHA256Digest], into whole: SHA256Digest, path: String) async throws {
        switch try await blobs.join(parts, into: whole) {
        case .joined: return
        case .missing(let part):
            throw UploadProblems(problems: [
                UploadProblem(code: "unknown_blob", field: path, message: "the part \(part.hex) is not there any more")
            ])
        case .different:
            throw UploadProblems(problems: [
                UploadProblem(code: "wrong_sha256", field: path, message: "the parts, joined in this order, have another SHA-256")
            ])
        }
    }

    private func resolve(_ descriptions: [FileDescription], accountID: AccountID) async throws -> [ProjectFile] {
        var named: [SHA256Digest] = []
        for description in descriptions {
            switch description.content {
            case .bytes: continue
            case .blob(let digest), .parts(_, let digest): named.append(digest)
            }
        }
        let owned = try await store.ownedBlobs(accountID, among: named)
        var problems: [UploadProblem] = []
        var files: [ProjectFile] = []
        for description in descriptions {
            switch description.content {
            case .bytes(let bytes): files.append(ProjectFile(path: description.path, sha256: SHA256.digest(bytes), bytes: bytes.count))
            case .blob(let digest), .parts(_, let digest):
                if let bytes = owned[digest] {
                    files.append(ProjectFile(path: description.path, sha256: digest, bytes: bytes))
                } else {
                    problems.append(
                        UploadProblem(code: "unknown_blob", field: description.path, message: "this account has not uploaded \(digest.hex)")
                    )
                }
            }
        }
        if !problems.isEmpty { throw UploadProblems(problems: problems) }
        return files
    }

    /// All rules about a set of files; the manifest that it holds.
    private func check(_ files: [ProjectFile], descriptions: [FileDescription]) async throws -> Manifest {
        var problems = ProjectRules.problems(in: files)
        if !problems.isEmpty { throw UploadProblems(problems: problems) }
        if let requirements = try await text(of: ProjectFile.requirements, in: files, descriptions) {
            if String(validating: requirements, as: UTF8.self) == nil {
                problems.append(UploadProblem(code: "bad_requirement", field: ProjectFile.requirements, message: "the file is not UTF-8"))
            } else {
                problems += RequirementsFile.problems(in: String(decoding: requirements, as: UTF8.self)).prefix(ProjectLimits.problems).map {
                    problem in
                    let field = problem.line.map { "\(ProjectFile.requirements):\($0)" } ?? ProjectFile.requirements
                    return UploadProblem(code: "bad_requirement", field: field, message: problem.reason)
                }
            }
        }
        let text = try await text(of: ProjectFile.manifest, in: files, descriptions) ?? []
        switch ManifestParser.parse(text) {
        case .manifest(let manifest):
            if let problem = ProjectRules.entryPointProblem(manifest.entryPoint, in: files) { problems.append(problem) }
            if let problem = await pythonProblem(manifest.python, of: manifest.class) { problems.append(problem) }
            if !problems.isEmpty { throw UploadProblems(problems: problems) }
            return manifest
        case .problems(let found): throw UploadProblems(problems: found + problems)
        }
    }

    /// A Python that not all executors have which may be given a run of it; where none is up, nobody can say, and the version is taken.
    private func pythonProblem(_ wanted: String, of resourceClass: ResourceClass) async -> UploadProblem? {
        let present = await pythons(resourceClass)
        let lacking = present.count { !$0.contains { $0.answers(to: wanted) } }
        if lacking == 0 { return nil }
        let common = present[0].filter { python in present.allSatisfy { $0.contains { $0.series == python.series } } }
        let message =
            lacking == present.count
            ? "no executor has Python \(wanted); there are \(present.flatMap(\.self).seriesText)"
            : "\(lacking) of \(present.count) executors lack Python \(wanted), and any of them may be given a run; "
                + (common.isEmpty ? "there is no Python that all of them have" : "all have \(common.seriesText)")
        return UploadProblem(code: "unknown_python", field: "\(ProjectFile.manifest): python", message: message)
    }

    private func text(of path: String, in files: [ProjectFile], _ descriptions: [FileDescription]) async throws -> [UInt8]? {
        guard let file = files.first(where: { $0.path == path }) else { return nil }
        if let description = descriptions.first(where: { $0.path == path }), case .bytes(let bytes) = description.content { return bytes }
        return try await blobs.get(file.sha256)
    }
}
