import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension SignalsRoutes {
    private struct DryRunBody: Decodable {
        /// Values of declared parameters, for this run alone.
        var parameters: [String: JSONValue]?
    }

    /// `POST /api/signals/{id}/versions/{version}/dry-run`: runs once in the sandbox on the newest bars and records nothing.
    func startDryRun(_ request: Request) async throws -> Response {
        let (signal, version, caller) = try await ownVersion(request)
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        var manifest = version.manifest
        if !request.body.isEmpty, let given = try request.json(DryRunBody.self).parameters {
            do throws(DeclaredParameters.Fault) {
                manifest.parameters = try DeclaredParameters.values(of: manifest.parameters, given: given)
            } catch {
                throw Problem.unprocessable(
                    code: "invalid_parameter",
                    detail: "\(error.field) \(error.reason).",
                    field: "parameters.\(error.field)"
                )
            }
        }
        let feed = try await market.feed(of: version)
        let now = time.now()
        let spec = SignalRunSpec(
            signalID: signal.id,
            versionID: version.id,
            versionSHA256: version.sha256,
            files: version.codeFiles,
            manifest: manifest,
            occurrenceID: nil,
            dueAt: now,
            asOf: now,
            feed: feed
        )
        // The client's own key, when there is one, also makes the job once only: after a crash before the answer was kept the repeat finds the job.
        let key =
            request.headers["Idempotency-Key"].map { SHA256.digest(utf8: "\(caller.accountID)\n\(request.path)\n\($0)").hex }
            ?? EventID.make().description
        let job = JobRequest(
            kind: .dryRun,
            resourceClass: version.manifest.class,
            accountID: caller.accountID,
            priority: .high,
            spec: try WireJSON.value(of: spec),
            idempotencyKey: "signals:dry-run:\(key)",
            maxAttempts: 2,
            roles: caller.roles.sorted()
        )
        let admission = DryRunAdmission(store: store, jobs: jobs, limits: dryRuns, time: time)
        try await admission.admit(caller.accountID, request: key)
        let receipt: JobReceipt
        do {
            receipt = try await jobs.create(job)
        } catch {
            // Without the scheduler's own refusal the job may be there all the same: then the place is kept for a while.
            let mayBeThere = (error as? ServiceClientError).map { ($0.status ?? 500) >= 500 } ?? false
            if !mayBeThere { try await admission.leave(caller.accountID, request: key) }
            throw error
        }
        let dryRun = DryRun(jobID: receipt.jobID, signalID: signal.id, versionID: version.id, accountID: caller.accountID, createdAt: now)
        return try await effects.run(request) { store in
            try await store.add(dryRun, request: key)
            return Self.json(
                ["id": .string(receipt.jobID.description), "version": .integer(Int64(version.number)), "state": "pending"],
                status: .accepted
            )
        }
    }

    /// `GET /api/signals/{id}/dry-runs/{job}`: how far it is; at the end its rows or what went wrong, and what the code printed.
    func dryRun(_ request: Request) async throws -> Response {
        let (signal, _) = try await ownSignal(request)
        let jobID = try request.parameter("job", as: JobID.self)
        guard let dryRun = try await store.dryRun(jobID), dryRun.signalID == signal.id, let version = try await store.version(dryRun.versionID) else {
            throw Problem.notFound(field: "job")
        }
        guard let job = try await jobs.job(jobID) else { throw Problem.notFound(field: "job") }
        var result = job.result
        if result == nil, let sha256 = job.resultSHA256, let bytes = try await jobs.result(sha256) { result = try? WireJSON.parse(bytes) }
        return Self.json([
            "id": .string(jobID.description),
            "version": .integer(Int64(version.number)),
            "created_at": .string(dryRun.createdAt.iso8601),
            "state": .string(job.state.rawValue),
            "failure_kind": job.failureKind.map { .string($0) } ?? .null,
            "error_message": job.errorMessage.map { .string($0) } ?? .null,
            "result": result ?? .null,
            "refusal": Self.refusal(of: result, version: version),
            "log": job.log.map { .string($0) } ?? .null,
            "log_truncated": .bool(job.logTruncated ?? false),
            "cpu_seconds": job.cpuSeconds.flatMap { JSONNumber($0) }.map { .number($0) } ?? .null,
            "memory_peak_bytes": job.memoryPeakBytes.map { .integer($0) } ?? .null,
        ])
    }

    /// What the ledger would say of these rows.
    private static func refusal(of result: JSONValue?, version: SignalVersion) -> JSONValue {
        guard let result else { return .null }
        guard let run: SignalRunResult = try? WireJSON.decode(from: result) else {
            return ["row": .null, "reason": "the result is not one of a run"]
        }
        // Whether a window lies in the future is judged by the real feed; a replay's rule lets either pass.
        guard let fault = RowRules.firstFault(rows: run.rows, manifest: version.manifest, asOf: run.asOf, feed: .replay) else { return .null }
        return ["row": fault.row.map { .integer(Int64($0)) } ?? .null, "reason": .string(fault.reason)]
    }
}
