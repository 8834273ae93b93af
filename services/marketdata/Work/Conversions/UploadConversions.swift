import BlobStore
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

/// Has uploads of foreign formats converted to text: orders the job, looks how it stands, and gives what came of it.
///
/// Each step is noted before the next one, and each can be done again: the job's key holds upload, file and turn, so that an order that was made twice is one
/// job, whose result is the same for whoever asks.
struct UploadConversions: Sendable {
    /// What an importer has to do with an upload now.
    enum Step: Sendable {
        /// Read the file itself.
        case plain([UInt8])
        /// Read the text that it was converted to.
        case table([UInt8], TableConversionResult.Table, Conversion)
        /// Look again in so many seconds.
        case wait(seconds: Int)
    }

    /// While a job runs, and while the scheduler is away.
    static let pauseSeconds = 1
    static let longPauseSeconds = 5
    /// What a zip of gigabytes of text has: the text may be as long as any archive's.
    static let maximumPackedBytes: Int64 = 128 << 20

    let store: ConversionStore
    let blobs: any BlobStore
    let jobs: any WatchedJobLedger

    private static let logger = Logger("upload-conversions")

    /// The next step of an upload; `whole` reads its file. Throws `UploadError` when there is none.
    func step(_ upload: Upload, whole: () async throws -> [UInt8], digest: ([UInt8]) async throws -> SHA256Digest) async throws -> Step {
        if try await store.find(upload.id) == nil {
            let bytes = try await whole()
            guard let format = ForeignFormat(bytes) else { return .plain(bytes) }
            try await store.begin(upload.id, format: format, fileSHA256: try await digest(bytes))
        }
        guard let conversion = try await store.find(upload.id) else { return .wait(seconds: 0) }
        if let table = conversion.result { return try await finished(conversion, table) }
        do {
            return try await look(at: conversion, of: upload)
        } catch let error as LedgerIsAway {
            Self.logger.warning(
                "the scheduler cannot be asked for a conversion",
                ["upload": .string(upload.id.description), "error": .string("\(error.reason)")]
            )
            return .wait(seconds: Self.longPauseSeconds)
        }
    }

    private struct LedgerIsAway: Error {
        var reason: any Error
    }

    /// Asks the scheduler; whatever it is that goes wrong there, the upload waits.
    private func asking<Answer>(_ ask: () async throws -> Answer) async throws -> Answer {
        do { return try await ask() } catch {
            try Task.checkCancellation()
            throw LedgerIsAway(reason: error)
        }
    }

    private func look(at conversion: Conversion, of upload: Upload) async throws -> Step {
        guard let job = conversion.jobID else {
            let request = try request(conversion, upload)
            let receipt = try await asking { try await jobs.create(request) }
            try await store.order(conversion, job: receipt.jobID)
            return .wait(seconds: Self.pauseSeconds)
        }
        guard let standing = try await asking({ try await jobs.standing(of: job) }) else {
            // A ledger that forgot it: another turn.
            try await store.forget(conversion)
            return .wait(seconds: 0)
        }
        switch standing.state {
        case .pending, .running:
            try await store.report(conversion, percent: standing.progress)
            return .wait(seconds: Self.pauseSeconds)
        case .completed:
            let result = standing.result.flatMap { try? WireJSON.decode(TableConversionResult.self, from: $0) }
            if let table = result?.table {
                try await store.finish(conversion, with: table)
                return .wait(seconds: 0)
            }
            try await store.forget(conversion)
            if let refused = result?.refused { throw UploadError.refusedByConverter(code: refused.code, detail: refused.detail) }
            throw UploadError.conversionFailed("its result cannot be read")
        case .failed, .cancelled:
            try await store.forget(conversion)
            throw UploadError.conversionFailed(standing.errorMessage ?? "the job was \(standing.state.rawValue)")
        }
    }

    private func finished(_ conversion: Conversion, _ table: TableConversionResult.Table) async throws -> Step {
        var packed: [UInt8] = []
        for digest in table.parts {
            guard let part = try await blobs.get(digest) else {
                // Made again rather than given up.
                try await store.forget(conversion)
                return .wait(seconds: 0)
            }
            packed.append(contentsOf: part)
        }
        return .table(packed, table, conversion)
    }

    private func request(_ conversion: Conversion, _ upload: Upload) throws -> JobRequest {
        let spec = TableConversionSpec(
            uploadID: upload.id,
            fileSHA256: conversion.fileSHA256,
            bytes: Int64(upload.bytes),
            parts: upload.partCount,
            format: conversion.format,
            maximumTextBytes: Int64(Archive.maximumUnpackedBytes),
            maximumPackedBytes: Self.maximumPackedBytes
        )
        return JobRequest(
            kind: .tableConversion,
            resourceClass: .standard,
            accountID: .platform,
            spec: try WireJSON.value(of: spec),
            idempotencyKey: "marketdata:table_conversion:\(upload.id):\(conversion.fileSHA256.hex):\(conversion.turn)"
        )
    }
}
