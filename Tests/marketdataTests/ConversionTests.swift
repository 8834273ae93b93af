import Bars
import BlobStore
import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import JobWorker
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// Takes down what is to be converted, and says of each job what a test wants it to say; can be away.
final class ConversionLedger: WatchedJobLedger {
    private struct State {
        var requests: [JobRequest] = []
        var jobs: [String: JobID] = [:]
        var standings: [JobID: JobStanding] = [:]
        var isAway = false
    }

    private let state = Mutex(State())

    var requests: [JobRequest] { state.withLock { $0.requests } }
    func set(away: Bool) { state.withLock { $0.isAway = away } }

    /// How the last job that was ordered stands from now on.
    func settle(_ standing: JobStanding) {
        state.withLock { state in
            guard let key = state.requests.last?.idempotencyKey, let job = state.jobs[key] else { return }
            state.standings[job] = standing
        }
    }

    func create(_ request: JobRequest) async throws -> JobReceipt {
        try state.withLock { state in
            if state.isAway { throw TestSupportError("the scheduler is away") }
            state.requests.append(request)
            let known = state.jobs[request.idempotencyKey]
            let job = known ?? .make()
            state.jobs[request.idempotencyKey] = job
            if known == nil { state.standings[job] = JobStanding(state: .pending, progress: 0) }
            return JobReceipt(jobID: job, created: known == nil)
        }
    }

    func standing(of job: JobID) async throws -> JobStanding? {
        try state.withLock { state in
            if state.isAway { throw TestSupportError("the scheduler is away") }
            return state.standings[job]
        }
    }
}

/// Uploads of foreign formats: what is ordered, what of it an executor may read, and what becomes of its answers.
@Suite(.enabled(if: TestServers.hasPostgres)) struct ConversionTests {
    private let file = Array("PAR1".utf8) + Array(repeating: 7, count: 100_000)

    private func text(_ rows: [String], header: String = "time,open,high,low,close,volume") -> [UInt8] {
        Array(([header] + rows).map { $0 + "\n" }.joined().utf8)
    }

    /// Ten minutes a day.
    private func rows(days: Int) -> [String] {
        (0..<days).flatMap { day in
            (0..<10).map { minute in
                let moment = at("2020-01-01T00:00:00Z") + .seconds(Int64(day) * 86_400 + Int64(minute) * 60)
                return "\(moment.iso8601.prefix(19))Z,\(100 + minute).5,\(101 + minute).5,\(99 + minute).5,\(100 + minute).25,\(minute)"
            }
        }
    }

    private func begin(_ doors: Doors, _ client: RequestClient, name: String = "ETHUSD.parquet", options: String = "") async throws -> String {
        let body: JSONValue = ["filename": .string(name), "bytes": .integer(Int64(file.count)), "part_bytes": 65_536]
        let id = try #require(try await client.post("/api/uploads", json: body).json()["id"]?.string)
        for (index, part) in [Array(file[..<65_536]), Array(file[65_536...])].enumerated() {
            #expect(try await client.send(.put, "/api/uploads/\(id)/parts/\(index + 1)", body: part).status == 200)
        }
        #expect(try await client.send(.post, "/api/uploads/\(id)/import\(options)").status == 202)
        return id
    }

    private func executor(_ doors: Doors, files: [SHA256Digest], kind: JobKind = .tableConversion) throws -> RequestClient {
        try doors.service("executor").with(header: "X-Auspex-Job", try doors.jobToken(kind: kind, files: files, instruments: []))
    }

    /// What a worker does: keeps the text with marketdata and says that the job has ended well.
    private func convert(
        _ doors: Doors,
        _ id: String,
        to text: [UInt8],
        item: TableConversionResult.Item? = nil,
        notes: [String] = []
    ) async throws {
        let client = try executor(doors, files: [SHA256.digest(file)])
        var parts: [SHA256Digest] = []
        for start in stride(from: 0, to: text.count, by: 1 << 20) {
            let part = Array(text[start..<min(start + 1 << 20, text.count)])
            let kept = try await client.send(.put, "/internal/v1/conversions/\(id)/table", body: part)
            #expect(kept.status == 200, "\(kept.verdict)")
            parts.append(try #require(SHA256Digest(hex: try kept.json()["sha256"]?.string ?? "")))
        }
        let table = TableConversionResult.Table(rows: 1, notes: notes, item: item, parts: parts)
        doors.conversions.settle(
            JobStanding(state: .completed, progress: 100, result: try WireJSON.value(of: TableConversionResult(table: table)))
        )
    }

    /// One look at an upload, whoever's turn it is: pauses are over at once.
    private func look(_ doors: Doors) async throws {
        _ = try await doors.pool.execute("UPDATE uploads SET lease_until = '-infinity' WHERE state = 'importing' AND runner IS NULL")
        #expect(await doors.uploads.round())
    }

    @Test func aForeignFileIsConvertedAndThenImported() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client, options: "?asset_class=crypto")
            try await look(doors)
            let request = try #require(doors.conversions.requests.first)
            let spec = try WireJSON.decode(TableConversionSpec.self, from: request.spec)
            #expect(request.kind == .tableConversion && request.resourceClass == .standard && request.accountID == .platform)
            #expect(spec.fileSHA256 == SHA256.digest(file) && spec.bytes == 100_004 && spec.parts == 2 && spec.format == "Parquet")
            // Meanwhile it is under way, and no attempt is used up, however long that takes.
            doors.conversions.settle(JobStanding(state: .running, progress: 40))
            for _ in 0..<12 { try await look(doors) }
            let midway = try await client.get("/api/uploads/\(id)").json()
            #expect(midway["state"]?.string == "importing" && midway["converted_percent"] == .integer(40) && midway["days_total"] == nil)
            #expect(doors.conversions.requests.count == 1)
            try await convert(doors, id, to: text(rows(days: 40)), notes: ["something was found out"])
            try await look(doors)
            try await look(doors)
            let done = try await client.get("/api/uploads/\(id)").json()
            #expect(done["state"]?.string == "imported", "\(done)")
            #expect(done["converted_percent"] == .integer(100) && done["days_done"] == .integer(40) && done["days_total"] == .integer(40))
            #expect(done["result"]?["instrument"]?.string == "ETHUSD" && done["result"]?["days_added"] == .integer(40))
            #expect(done["result"]?["notes"]?[0] == "converted from Parquet" && done["result"]?["notes"]?[1] == "something was found out")
            #expect(try await doors.bench.closes("ETHUSD", "1m").count == 400)
            // Its record names the file that was sent.
            let named = try await doors.pool.query("SELECT DISTINCT file_sha256, file_name FROM imports WHERE file_name = 'ETHUSD.parquet'")
            #expect(try named.map { try $0.column(0, as: SHA256Digest.self) } == [SHA256.digest(file)])
            // Neither the file nor the text is needed any more.
            let store = UploadStore(pool: doors.pool)
            #expect(try await store.referenced(among: try await doors.blobs.list().map(\.digest)).isEmpty)
        }
    }

    /// The bars of freqtrade's Feather are those of its JSON: symbol, class and interval are in the name.
    @Test func freqtradesNamesSayTheSameInBothFormats() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client, name: "UNI_ABC-5m.feather")
            try await look(doors)
            let header = "date,open,high,low,close,volume"
            try await convert(doors, id, to: text(["2020-01-01 00:00:00Z,1,2,1,2,5", "2020-01-01 02:00:00Z,2,2,2,2,5"], header: header))
            try await look(doors)
            try await look(doors)
            #expect(try await client.get("/api/uploads/\(id)").json()["state"]?.string == "imported")
            let found = try #require(try await doors.store.instrument(symbol: "UNI_ABC"))
            #expect(found.assetClass == .crypto)
            #expect(try await doors.bench.closes("UNI_ABC", "5m").count == 2)
        }
    }

    @Test func anItemOfPyStoreIsCalledLikeItsInstrument() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client, name: "store.zip", options: "?asset_class=crypto")
            try await look(doors)
            let item = TableConversionResult.Item(name: "BRK_B", pystore: true, symbol: "brk.b", interval: "1h")
            try await convert(doors, id, to: text(rows(days: 1).filter { $0.contains("00:00:00Z") }), item: item)
            try await look(doors)
            try await look(doors)
            let done = try await client.get("/api/uploads/\(id)").json()
            #expect(done["result"]?["instrument"]?.string == "BRK.B", "\(done)")
            #expect(try await doors.bench.closes("BRK.B", "1h").count == 1)
        }
    }

    @Test func badRowsAreNamedAsTheFileHasThem() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client, options: "?asset_class=crypto")
            try await look(doors)
            var rows = rows(days: 3)
            rows[14] = rows[14].replacing("105.5", with: "1")
            try await convert(doors, id, to: text(rows))
            try await look(doors)
            try await look(doors)
            let done = try await client.get("/api/uploads/\(id)").json()
            #expect(done["state"]?.string == "imported")
            #expect(done["result"]?["days_added"] == .integer(2) && done["result"]?["days_refused"] == .integer(1))
            let problems = done["result"]?["bad_rows"]
            #expect(problems?[0]?["line"] == .integer(15), "\(String(describing: problems))")
            #expect(try await doors.bench.closes("ETHUSD", "1m").count == 20)
            // The report on the instrument counts the same way.
            let finding = try await doors.pool.query("SELECT first_line FROM import_findings WHERE kind = 'refused'")
            #expect(try finding.map { try $0.column(0, as: Int.self) } == [15])
        }
    }

    /// What ticks refer to in words is counted in rows as well.
    @Test func problemsThatNameAnotherRowNameItAsTheFileDoes() {
        var problems = RowProblems()
        problems.add(line: 9, column: "time", reason: "it is earlier than the tick of line 8 before it", day: CivilDay(number: 1))
        problems.countRows()
        #expect(problems.kept.map(\.line) == [8])
        #expect(problems.kept.map(\.reason) == ["it is earlier than the tick of row 7 before it"])
        #expect(problems.findings.map(\.firstLine) == [8])
    }

    @Test func refusalsAndFailuresEndTheImportAndAnotherOneIsAnotherJob() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client)
            try await look(doors)
            let refusal = TableConversionResult(refused: .init(code: "encrypted_file", detail: "It is encrypted."))
            doors.conversions.settle(JobStanding(state: .completed, progress: 100, result: try WireJSON.value(of: refusal)))
            try await look(doors)
            let refused = try await client.get("/api/uploads/\(id)").json()
            #expect(refused["state"]?.string == "failed" && refused["problem"]?["code"] == "encrypted_file")
            #expect(refused["problem"]?["status"] == .integer(422) && refused["problem"]?["detail"] == "It is encrypted.")
            #expect(try await client.send(.post, "/api/uploads/\(id)/import").status == 202)
            try await look(doors)
            #expect(Set(doors.conversions.requests.map(\.idempotencyKey)).count == 2)
            doors.conversions.settle(JobStanding(state: .failed, progress: 0, failureKind: .lostWorker, errorMessage: "nobody was there"))
            try await look(doors)
            let failed = try await client.get("/api/uploads/\(id)").json()
            #expect(failed["state"]?.string == "failed" && failed["problem"]?["code"] == "conversion_failed")
            #expect(try await doors.store.instrument(symbol: "ETHUSD") == nil)
        }
    }

    /// With other options the same text is imported; other parts are another file.
    @Test func theTextIsMadeOnceForAFile() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client)
            try await look(doors)
            let dates = ["03/04/2017 10:01,1,1,1,1,1", "03/04/2017 10:02,1,1,1,1,1", "03/04/2017 10:03,1,1,1,1,1"]
            try await convert(doors, id, to: text(dates))
            try await look(doors)
            try await look(doors)
            #expect(try await client.get("/api/uploads/\(id)").json()["problem"]?["code"] == "ambiguous_dates")
            #expect(try await client.send(.post, "/api/uploads/\(id)/import?date_order=dmy&asset_class=crypto").status == 202)
            try await look(doors)
            #expect(try await client.get("/api/uploads/\(id)").json()["state"]?.string == "imported")
            #expect(doors.conversions.requests.count == 1)

            let other = try await begin(doors, client, name: "OTHER.parquet")
            try await look(doors)
            doors.conversions.settle(JobStanding(state: .failed, progress: 0))
            try await look(doors)
            #expect(try await client.send(.put, "/api/uploads/\(other)/parts/2", body: Array(repeating: 8, count: file.count - 65_536)).status == 200)
            #expect(try await client.send(.post, "/api/uploads/\(other)/import").status == 202)
            try await look(doors)
            let keys = doors.conversions.requests.map(\.idempotencyKey)
            #expect(keys.count == 3 && Set(keys).count == 3)
        }
    }

    /// Killed behind each of its steps, whoever comes next does the step again or goes on: one job, one import.
    @Test func aReplicaMayDieAfterEachStep() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client, options: "?asset_class=crypto")
            let uploadID = try #require(UploadID(id))
            let store = ConversionStore(pool: doors.pool)
            // It noted the conversion, ordered the job, and died before it noted that.
            try await store.begin(uploadID, format: .parquet, fileSHA256: SHA256.digest(file))
            try await look(doors)
            _ = try await doors.pool.execute("UPDATE upload_conversions SET job_id = NULL")
            try await look(doors)
            #expect(doors.conversions.requests.count == 2 && Set(doors.conversions.requests.map(\.idempotencyKey)).count == 1)
            // The scheduler is away for a while.
            doors.conversions.set(away: true)
            for _ in 0..<8 { try await look(doors) }
            doors.conversions.set(away: false)
            #expect(try await client.get("/api/uploads/\(id)").json()["state"]?.string == "importing")
            try await convert(doors, id, to: text(rows(days: 2)))
            // It noted the result twice, as two would who were both told.
            let conversion = try #require(try await store.find(uploadID))
            let table = TableConversionResult.Table(rows: 20, notes: [], item: nil, parts: [SHA256.digest(text(rows(days: 2)))])
            try await store.finish(conversion, with: table)
            try await store.finish(conversion, with: table)
            #expect(try await UploadStore(pool: doors.pool).referenced(among: table.parts) == Set(table.parts))
            try await look(doors)
            #expect(try await client.get("/api/uploads/\(id)").json()["state"]?.string == "imported")
            #expect(try await doors.bench.closes("ETHUSD", "1m").count == 20)
            #expect(await !doors.uploads.round())
        }
    }

    @Test func aTextThatIsGoneIsMadeAgain() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client, options: "?asset_class=crypto")
            try await look(doors)
            try await convert(doors, id, to: text(rows(days: 2)))
            try await look(doors)
            #expect(try await doors.blobs.delete(SHA256.digest(text(rows(days: 2)))))
            try await look(doors)
            try await look(doors)
            #expect(Set(doors.conversions.requests.map(\.idempotencyKey)).count == 2)
            try await convert(doors, id, to: text(rows(days: 2)))
            try await look(doors)
            try await look(doors)
            #expect(try await client.get("/api/uploads/\(id)").json()["state"]?.string == "imported")
        }
    }

    @Test func anExecutorReadsWhatItsTokenNamesAndNothingElse() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let id = try await begin(doors, client)
            try await look(doors)
            let digest = SHA256.digest(file)
            let path = "/internal/v1/conversions/\(id)/parts"
            let own = try executor(doors, files: [digest])
            let (first, second) = (try await own.get("\(path)/1"), try await own.get("\(path)/2"))
            #expect(first.body + second.body == file)
            #expect(try await own.get("\(path)/3").status == 404)
            for stranger in [try executor(doors, files: [SHA256.digest([1])]), try executor(doors, files: [])] {
                #expect(try await stranger.get("\(path)/1").status == 404)
                #expect(try await stranger.send(.put, "/internal/v1/conversions/\(id)/table", body: [1]).status == 404)
            }
            let run = try executor(doors, files: [digest], kind: .signalRun)
            #expect(try await run.get("\(path)/1").verdict == "403 outside_job_token")
            #expect(try await doors.service("executor").get("\(path)/1").verdict == "401 job_token_missing")
            #expect(try await doors.service("signals").get("\(path)/1").status == 403)
            #expect(try await own.send(.put, "/internal/v1/conversions/\(UploadID.make())/table", body: [1]).status == 404)
            #expect(try await own.send(.put, "/internal/v1/conversions/\(id)/table", body: []).verdict == "400 empty_body")
            #expect(try await own.send(.put, "/internal/v1/conversions/\(id)/table", body: [1]).status == 200)
        }
    }

    @Test(arguments: ["x", "%00", "..%2F..", "00000000-0000-0000-0000-000000000000", "'%3B--", "%F0%9F%98%80"])
    func badIdsOfConversionsAreRefused(id: String) async throws {
        try await withDoors { doors in
            let client = try executor(doors, files: [SHA256.digest(file)])
            let before = try await doors.fingerprint()
            for path in ["/internal/v1/conversions/\(id)/parts/1", "/internal/v1/conversions/\(UploadID.make())/parts/\(id)"] {
                let status = try await client.get(path).status
                #expect(status == 400 || status == 404, "\(path): \(status)")
            }
            for number in ["0", "-1", "2147483648", "9223372036854775807", "9223372036854775808"] {
                let status = try await client.get("/internal/v1/conversions/\(UploadID.make())/parts/\(number)").status
                #expect(status == 400 || status == 404, "\(number): \(status)")
            }
            let status = try await client.send(.put, "/internal/v1/conversions/\(id)/table", body: [1]).status
            #expect(status == 400 || status == 404, "\(id): \(status)")
            #expect(try await doors.fingerprint() == before)
        }
    }

    /// The doors for small files, and the command, say where such files go.
    @Test(arguments: ["PAR1", "PARE", "ARROW1\0\0", "FEA1"]) func foreignFilesAreToldWhereToGo(magic: String) throws {
        let bytes = Array(magic.utf8) + Array(repeating: 0, count: 64)
        let error = #expect(throws: ImportError.self) { try FileImporter.read(bytes, path: "SPY.csv") }
        #expect(error?.code == "unsupported_layout" && error?.detail.contains("/api/uploads") == true)
    }
}
