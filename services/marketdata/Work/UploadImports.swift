import BlobStore
import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import Postgres
import ServiceRuntime
import Synchronization

/// Imports uploaded files in the background, one after the other, and forgets what nobody wants any more.
///
/// Replicas share the work by leases in the database. Whole days are stored a few at a time, each time in one transaction; what a killed replica had
/// stored is found unchanged by the next one.
final class UploadImports: Component {
    let name = "upload imports"

    private static let leaseSeconds = 30
    private static let maximumAttempts = 5

    private let uploads: UploadStore
    private let blobs: any BlobStore
    private let importer: Importer
    private let conversions: UploadConversions
    private let time: any TimeSource
    private let loop: EventLoop
    private let runner = "marketdata-" + UUID().uuidString.lowercased()
    private let logger = Logger("upload-imports")
    private let importing = BackgroundTask()
    private let cleaning = BackgroundTask()
    private let isWoken = Mutex(false)

    init(
        uploads: UploadStore,
        blobs: any BlobStore,
        importer: Importer,
        conversions: UploadConversions,
        time: any TimeSource,
        loop: EventLoop
    ) {
        self.conversions = conversions
        self.uploads = uploads
        self.blobs = blobs
        self.importer = importer
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        importing.start(on: loop) { [self] in
            while !Task.isCancelled {
                while await round(), !Task.isCancelled {}
                for _ in 0..<20 where !Task.isCancelled {
                    if isWoken.withLock({ flag in
                        defer { flag = false }; return flag
                    }) {
                        break
                    }
                    do { try await time.sleep(for: .milliseconds(100)) } catch { return }
                }
            }
        }
        cleaning.start(on: loop, every: .seconds(3_600), time: time) { [self] in await cleanUp() }
    }

    func stop() async {
        await importing.stop()
        await cleaning.stop()
    }

    /// An upload is to be imported: look at once.
    func wake() { isWoken.withLock { $0 = true } }

    /// Imports the upload that has waited longest; false when none waits.
    func round() async -> Bool {
        do {
            guard let upload = try await uploads.claim(runner: runner, leaseSeconds: Self.leaseSeconds) else { return false }
            await run(upload)
            return true
        } catch {
            logger.warning("uploads could not be claimed", ["error": .string("\(error)")])
            return false
        }
    }

    private struct LostLease: Error {}

    private func run(_ upload: Upload) async {
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { [self] in
                    while true {
                        try await time.sleep(for: .seconds(Self.leaseSeconds / 3))
                        guard try await uploads.renew(upload.id, runner: runner, leaseSeconds: Self.leaseSeconds) else { throw LostLease() }
                    }
                }
                group.addTask { [self] in try await finish(upload) }
                _ = try await group.next()
                group.cancelAll()
            }
        } catch is LostLease {
            logger.notice("another replica imports the upload", ["upload": .string(upload.id.description)])
        } catch {
            logger.warning("an upload was not imported", ["upload": .string(upload.id.description), "error": .string("\(error)")])
            await giveBack(upload)
        }
    }

    /// Imports the file and notes what became of it.
    private func finish(_ upload: Upload) async throws {
        do {
            var options = try ImportOptions { upload.options[$0] }
            let bytes: [UInt8]
            var converted: (table: TableConversionResult.Table, conversion: Conversion)?
            let step = try await conversions.step(upload) { [self] in
                try await joined(upload)
            } digest: { [self] whole in
                try await importer.cpu.run { SHA256.digest(whole) }
            }
            switch step {
            case .wait(let seconds): return try await uploads.wait(upload.id, runner: runner, seconds: seconds)
            case .plain(let whole): bytes = whole
            case .table(let text, let table, let conversion):
                bytes = text
                converted = (table, conversion)
                options = ConvertedTable.options(options, of: table.item)
            }
            var outcome = try await importer.run(bytes, path: upload.fileName, options: options, digest: converted?.conversion.fileSHA256) {
                [self] progress in
                try await uploads.report(progress, of: upload.id, runner: runner)
            }
            if let converted { outcome.notes = ["converted from \(converted.conversion.format)"] + converted.table.notes + outcome.notes }
            let result = try PostgresJSON(encoding: ImportAnswer(outcome))
            try await uploads.finish(upload.id, runner: runner, result: result, problem: nil, at: time.now())
        } catch let error as any ProblemRepresentable {
            // The file's fault, or that of the options: trying again would find the same.
            let problem = PostgresJSON(bytes: error.problem.json())
            try await uploads.finish(upload.id, runner: runner, result: nil, problem: problem, at: time.now())
        }
    }

    /// The whole file in memory, as the readers need it.
    private func joined(_ upload: Upload) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(upload.bytes)
        for digest in try await uploads.parts(of: upload.id) {
            guard let part = try await blobs.get(digest) else { throw UploadError.partIsGone }
            bytes.append(contentsOf: part)
        }
        guard bytes.count == upload.bytes else { throw UploadError.partIsGone }
        if let expected = upload.sha256 {
            let whole = bytes
            guard try await importer.cpu.run({ SHA256.digest(whole) }) == expected else { throw UploadError.otherFile }
        }
        return bytes
    }

    private func giveBack(_ upload: Upload) async {
        do {
            guard upload.attempts >= Self.maximumAttempts else {
                return try await uploads.release(upload.id, runner: runner, afterSeconds: 5)
            }
            let problem = Problem(
                status: .internalError,
                code: "import_failed",
                detail: "The import failed again and again; an operator has to look."
            )
            try await uploads.finish(upload.id, runner: runner, result: nil, problem: PostgresJSON(bytes: problem.json()), at: time.now())
        } catch {
            // The lease runs out by itself, and somebody tries again.
            logger.warning("an upload was not given back", ["upload": .string(upload.id.description), "error": .string("\(error)")])
        }
    }

    /// Forgets uploads that nobody has touched for a day, and parts that belong to none.
    func cleanUp() async {
        do {
            try await uploads.forget(untouchedSince: time.now() - .seconds(Upload.lifetimeSeconds))
            try await blobs.cleanUp(at: time.now()) { [uploads] in try await uploads.referenced(among: $0) }
        } catch {
            logger.warning("uploads were not cleaned up; trying again in an hour", ["error": .string("\(error)")])
        }
    }
}
