import BlobStore
import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Files that come in parts, and what becomes of them.
@Suite(.enabled(if: TestServers.hasPostgres)) struct UploadTests {
    private let partBytes = 65_536

    /// Minutes of some days, a good deal more than one part.
    private func file(days: Int = 90, spoiling line: Int? = nil) -> [UInt8] {
        var lines = minutes(from: "2020-01-01T00:00:00Z", count: days * 60, first: 1_000).split(separator: "\n").map(String.init)
        // One hour a day.
        for index in 1..<lines.count {
            let moment = at("2020-01-01T00:00:00Z") + .seconds((index - 1) / 60 * 86_400 + (index - 1) % 60 * 60)
            lines[index] = moment.iso8601.prefix(19) + "," + lines[index].split(separator: ",").dropFirst().joined(separator: ",")
        }
        if let line { lines[line - 1] = lines[line - 1].replacing(",", with: ";") }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    private func parts(_ file: [UInt8]) -> [[UInt8]] {
        stride(from: 0, to: file.count, by: partBytes).map { Array(file[$0..<min($0 + partBytes, file.count)]) }
    }

    private func announce(_ client: RequestClient, _ file: [UInt8], name: String = "ETHUSD.csv", sha256: String? = nil) async throws -> String {
        var body: [String: JSONValue] = ["filename": .string(name), "bytes": .integer(Int64(file.count)), "part_bytes": .integer(Int64(partBytes))]
        if let sha256 { body["sha256"] = .string(sha256) }
        let made = try await client.post("/api/uploads", json: JSONValue.object(body))
        #expect(made.status == 201)
        return try #require(try made.json()["id"]?.string)
    }

    private func put(_ client: RequestClient, _ id: String, _ number: Int, _ bytes: [UInt8]) async throws -> RequestClient.Answer {
        try await client.send(.put, "/api/uploads/\(id)/parts/\(number)", body: bytes)
    }

    @Test func partsInAnyOrderMakeTheSameBarsAsTheFile() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let file = file()
            let parts = parts(file)
            #expect(parts.count > 3)
            let id = try await announce(client, file, sha256: SHA256.digest(file).hex)
            let early = try await client.send(.post, "/api/uploads/\(id)/import")
            #expect(early.verdict == "409 upload_incomplete")
            for number in (2...parts.count).reversed() { #expect(try await put(client, id, number, parts[number - 1]).status == 200) }
            // The connection broke: what is there is asked, and what is missing sent, one part again.
            let half = try await client.get("/api/uploads/\(id)").json()
            #expect(half["state"]?.string == "open" && half["parts"] == .integer(Int64(parts.count)))
            #expect(half["received"] == .array((2...parts.count).map { .integer(Int64($0)) }))
            #expect(half["received_bytes"] == .integer(Int64(file.count - partBytes)))
            #expect(try await client.send(.post, "/api/uploads/\(id)/import").verdict == "409 upload_incomplete")
            #expect(try await put(client, id, 2, parts[1]).status == 200)
            let whole = try await put(client, id, 1, parts[0])
            #expect(try whole.json()["received_bytes"] == .integer(Int64(file.count)))
            let begun = try await client.send(.post, "/api/uploads/\(id)/import?asset_class=crypto")
            #expect(begun.status == 202)
            #expect(try begun.json()["state"]?.string == "importing")
            #expect(try await client.send(.post, "/api/uploads/\(id)/import").status == 202)
            #expect(try await put(client, id, 1, parts[0]).verdict == "409 upload_state")
            #expect(try await client.delete("/api/uploads/\(id)").verdict == "409 upload_state")
            #expect(await doors.uploads.round())
            #expect(await !doors.uploads.round())
            let done = try await client.get("/api/uploads/\(id)").json()
            #expect(done["state"]?.string == "imported")
            #expect(done["days_done"] == .integer(90) && done["days_total"] == .integer(90) && done["rows_done"] == .integer(5_400))
            #expect(done["result"]?["days_added"] == .integer(90))
            #expect(done["result"]?["created"] == .bool(true))
            #expect(done["result"]?["instrument"]?.string == "ETHUSD")
            try await doors.bench.importer.store.create(coin("TWIN"))
            let twin = try await doors.bench.importer.run(file, path: "TWIN.csv", options: ImportOptions())
            #expect(twin.days.added == 90)
            #expect(try await doors.bench.closes("ETHUSD", "1h") == doors.bench.closes("TWIN", "1h"))
            #expect(try await client.send(.post, "/api/uploads/\(id)/import").verdict == "409 upload_state")
            #expect(try await client.delete("/api/uploads/\(id)").status == 204)
            #expect(try await client.get("/api/uploads/\(id)").verdict == "404 unknown_upload")
        }
    }

    @Test func badRowsAreNamedByLineAndTheirDaysLeftAlone() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            var text = String(decoding: file(days: 3), as: UTF8.self)
            text = text.replacing("2020-01-02T00:05:00,", with: "2020-01-02T00:05:00,x")
            let file = Array(text.utf8)
            let id = try await announce(client, file)
            for (index, part) in parts(file).enumerated() { #expect(try await put(client, id, index + 1, part).status == 200) }
            #expect(try await client.send(.post, "/api/uploads/\(id)/import").status == 202)
            #expect(await doors.uploads.round())
            let done = try await client.get("/api/uploads/\(id)").json()
            #expect(done["state"]?.string == "imported")
            #expect(done["result"]?["bad_rows"]?[0]?["line"] == .integer(67))
            #expect(done["result"]?["days_added"] == .integer(2) && done["result"]?["days_refused"] == .integer(1))
        }
    }

    /// What fails by the file or its options says so, and goes through with better ones, without a byte sent again.
    @Test func aFailedImportIsTriedAgainWithOtherOptions() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let file = Array("Date;Open;High;Low;Close\n03/04/2017 10:01;1;1;1;1\n03/04/2017 10:02;1;1;1;1\n03/04/2017 10:03;1;1;1;1\n".utf8)
            let id = try await announce(client, file)
            #expect(try await put(client, id, 1, file).status == 200)
            #expect(try await client.send(.post, "/api/uploads/\(id)/import?stamps=middle").problemField == "stamps")
            #expect(try await client.send(.post, "/api/uploads/\(id)/import").status == 202)
            #expect(await doors.uploads.round())
            let failed = try await client.get("/api/uploads/\(id)").json()
            #expect(failed["state"]?.string == "failed")
            #expect(failed["problem"]?["code"]?.string == "ambiguous_dates" && failed["problem"]?["field"]?.string == "date_order")
            #expect(try await client.send(.post, "/api/uploads/\(id)/import?date_order=dmy").status == 202)
            #expect(await doors.uploads.round())
            let done = try await client.get("/api/uploads/\(id)").json()
            #expect(done["state"]?.string == "imported" && done["problem"] == nil)
        }
    }

    @Test func partsAndFilesThatAreOthersAreRefused() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let file = file(days: 40)
            let parts = parts(file)
            let id = try await announce(client, file, sha256: SHA256.digest([1]).hex)
            #expect(try await put(client, id, 1, Array(parts[0].dropLast())).verdict == "422 wrong_part_length")
            #expect(try await put(client, id, 0, parts[0]).verdict == "404 unknown_part")
            #expect(try await put(client, id, parts.count + 1, parts[0]).verdict == "404 unknown_part")
            for (index, part) in parts.enumerated() { #expect(try await put(client, id, index + 1, part).status == 200) }
            #expect(try await client.send(.post, "/api/uploads/\(id)/import").status == 202)
            #expect(await doors.uploads.round())
            #expect(try await client.get("/api/uploads/\(id)").json()["problem"]?["code"]?.string == "wrong_sha256")
            #expect(try await doors.store.instrument(symbol: "ETHUSD") == nil)
            // Nobody learns of another account's upload.
            let stranger = try doors.client(Person(roles: ["admin"]))
            #expect(try await stranger.get("/api/uploads/\(id)").verdict == "404 unknown_upload")
            #expect(try await put(stranger, id, 1, parts[0]).verdict == "404 unknown_upload")
            #expect(try await stranger.delete("/api/uploads/\(id)").verdict == "404 unknown_upload")
            for body in [
                #"{"filename": "x", "bytes": 0}"#, #"{"filename": "x", "bytes": 600000000}"#, #"{"filename": "x", "bytes": 9, "part_bytes": 1}"#,
                #"{"filename": "", "bytes": 9}"#, #"{"filename": "x", "bytes": 9, "sha256": "00"}"#,
            ] {
                let answer = try await client.send(.post, "/api/uploads", headers: [("Content-Type", "application/json")], body: Array(body.utf8))
                #expect(answer.status == 400, "\(body): \(answer.verdict)")
            }
        }
    }

    /// The same announcement under the same key is one upload.
    @Test func anAnnouncementIsMadeOnce() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let body: JSONValue = ["filename": "x.csv", "bytes": 70_000]
            let first = try await client.post("/api/uploads", json: body, headers: [("Idempotency-Key", "one")])
            let again = try await client.post("/api/uploads", json: body, headers: [("Idempotency-Key", "one")])
            #expect(first.status == 201)
            #expect(try again.json()["id"] == first.json()["id"])
        }
    }

    /// A replica that dies in the middle of an import leaves whole days behind, and another one goes on from there.
    @Test func anotherReplicaGoesOnWhereOneDied() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let file = file(days: 100)
            let id = try await announce(client, file)
            for (index, part) in parts(file).enumerated() { #expect(try await put(client, id, index + 1, part).status == 200) }
            #expect(try await client.send(.post, "/api/uploads/\(id)/import").status == 202)
            let store = UploadStore(pool: doors.pool)
            let taken = try #require(try await store.claim(runner: "dying", leaseSeconds: 60))
            #expect(await !doors.uploads.round())
            // It stores some days, and no more is heard of it.
            struct Killed: Error {}
            await #expect(throws: Killed.self) {
                _ = try await doors.bench.importer.run(file, path: taken.fileName, options: ImportOptions()) { progress in
                    try await store.report(progress, of: taken.id, runner: "dying")
                    if progress.daysDone > 0 { throw Killed() }
                }
            }
            let midway = try await client.get("/api/uploads/\(id)").json()
            #expect(midway["state"]?.string == "importing" && midway["days_done"] == .integer(48) && midway["days_total"] == .integer(100))
            #expect(try await doors.bench.closes("ETHUSD", "1h").count == 48)
            try await store.release(taken.id, runner: "dying", afterSeconds: -1)
            #expect(await doors.uploads.round())
            let done = try await client.get("/api/uploads/\(id)").json()
            #expect(done["state"]?.string == "imported")
            #expect(done["result"]?["days_added"] == .integer(52) && done["result"]?["days_unchanged"] == .integer(48))
            #expect(try await doors.bench.closes("ETHUSD", "1h").count == 100)
            // Whoever has lost the lease changes nothing any more.
            #expect(try await !store.renew(taken.id, runner: "dying", leaseSeconds: 60))
        }
    }

    @Test func whatNobodyTouchedForADayIsForgotten() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["admin"]))
            let file = file(days: 40)
            let parts = parts(file)
            let old = try await announce(client, file)
            let young = try await announce(client, file)
            #expect(try await put(client, old, 1, parts[0]).status == 200)
            #expect(try await put(client, young, 2, parts[1]).status == 200)
            let store = UploadStore(pool: doors.pool)
            let digests = [SHA256.digest(parts[0]), SHA256.digest(parts[1])]
            #expect(try await store.referenced(among: digests) == Set(digests))
            #expect(
                try await doors.pool.execute(
                    "UPDATE uploads SET touched_at = touched_at - interval '25 hours' WHERE id = \(try #require(UploadID(old)))"
                ) == 1
            )
            await doors.uploads.cleanUp()
            #expect(try await client.get("/api/uploads/\(old)").verdict == "404 unknown_upload")
            #expect(try await client.get("/api/uploads/\(young)").status == 200)
            // The blob of the forgotten part goes when it is a day old itself.
            #expect(try await store.referenced(among: digests) == [digests[1]])
            #expect(try await doors.blobs.exists(digests[0]))
            try await doors.blobs.cleanUp(at: .now() + .seconds(90_000), olderThan: .zero) { try await store.referenced(among: $0) }
            #expect(try await !doors.blobs.exists(digests[0]))
            #expect(try await doors.blobs.exists(digests[1]))
        }
    }
}
