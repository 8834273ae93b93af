import Contracts
import Testing

@testable import signals

/// The vectors that every verifier must agree with, bit for bit.
@Suite("Ledger against the golden vectors", .enabled(if: SharedFiles.ledger != nil, "golden/ledger.json is not beside the project"))
struct LedgerGoldenTests {
    struct Golden: Decodable {
        struct Fault: Decodable {
            var kind: String
            var seq: Int64?
            var seal: Int64?
        }
        struct Variant: Decodable {
            var name: String
            var rows: [LedgerExport.Row]
            var firstBad: Fault
        }
        var signalID: SignalID
        var otherSignalID: SignalID
        var rows: [LedgerExport.Row]
        var otherRows: [LedgerExport.Row]
        var seals: [LedgerExport.Seal]
        var variants: [Variant]
    }

    let golden: Golden

    init() throws {
        golden = try WireJSON.decode(from: try #require(SharedFiles.ledger))
    }

    @Test("Every leaf and link is made again from its row")
    func rows() throws {
        for (signalID, rows) in [(golden.signalID, golden.rows), (golden.otherSignalID, golden.otherRows)] {
            var previous = LedgerHash.zero
            for row in rows {
                let payload = try #require(row.payload)
                let nonce = try #require(row.nonce.flatMap { Hex.decode($0) })
                let made = LedgerEntry.appended(
                    payload: payload,
                    nonce: nonce,
                    signalID: signalID,
                    seq: row.seq,
                    madeAt: Timestamp(microseconds: row.madeAtUs),
                    after: previous
                )
                #expect(made.leaf == row.leaf)
                #expect(made.link == row.link)
                previous = made.link
            }
        }
        #expect(golden.rows.count == 10 && golden.otherRows.count == 3)
    }

    @Test("Every payload is its own canonical text")
    func payloads() throws {
        for row in golden.rows + golden.otherRows {
            let payload = try #require(row.payload)
            #expect(canonical(try WireJSON.parse(Array(payload.utf8))).text == payload)
        }
    }

    @Test("Every seal is made again from its heads")
    func seals() {
        var root = LedgerHash.zero
        for seal in golden.seals {
            let made = LedgerSeal.next(number: seal.n, previousRoot: root, heads: seal.seal.heads.reversed())
            #expect(made.merkle == seal.merkle)
            #expect(made.root == seal.root)
            #expect(made.heads == seal.seal.heads)
            root = made.root
        }
        #expect(golden.seals.count == 3)
    }

    @Test("Both good chains pass")
    func good() {
        #expect(export(golden.rows).firstFault() == nil)
        #expect(LedgerExport(signalID: golden.otherSignalID, rows: golden.otherRows, seals: golden.seals).firstFault() == nil)
    }

    @Test("Every variant is caught at its first bad row")
    func variants() {
        #expect(golden.variants.count == 6)
        for variant in golden.variants {
            let fault = export(variant.rows).firstFault()
            #expect(fault?.kind.rawValue == variant.firstBad.kind, "\(variant.name)")
            #expect(fault?.seq == variant.firstBad.seq, "\(variant.name)")
            #expect(fault?.seal == variant.firstBad.seal, "\(variant.name)")
        }
    }

    @Test("Without payloads the links still show every fault but a changed payload")
    func publicView() {
        for variant in golden.variants where variant.name != "changed_row" {
            var rows = variant.rows
            for index in rows.indices {
                rows[index].payload = nil
                rows[index].nonce = nil
            }
            #expect(export(rows).firstFault()?.kind.rawValue == variant.firstBad.kind, "\(variant.name)")
        }
    }

    private func export(_ rows: [LedgerExport.Row]) -> LedgerExport {
        LedgerExport(signalID: golden.signalID, rows: rows, seals: golden.seals)
    }

    private func canonical(_ value: JSONValue) -> CanonicalJSON {
        switch value {
        case .null: .null
        case .bool(let flag): .boolean(flag)
        case .string(let text): .string(text)
        case .integer(let number): .string(String(number))
        case .number(let number): .string(number.text)
        case .array(let values): .array(values.map(canonical))
        case .object(let members): .object(members.mapValues(canonical))
        }
    }
}
