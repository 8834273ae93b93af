import Contracts
import Cryptography
import Testing

@testable import signals

@Suite("Ledger rules")
struct LedgerTests {
    let signal = SignalID.make()

    func chain(_ count: Int, signalID: SignalID) -> [LedgerEntry] {
        var previous = LedgerHash.zero
        return (1...count).map { seq in
            let entry = LedgerEntry.appended(
                payload: "{\"row\":\"\(seq)\"}",
                nonce: RandomToken.bytes(16),
                signalID: signalID,
                seq: Int64(seq),
                madeAt: Timestamp(seconds: Int64(seq)),
                after: previous
            )
            previous = entry.link
            return entry
        }
    }

    @Test("Keys are ordered by code point, only what must be is escaped")
    func canonicalText() {
        let value = CanonicalJSON.object([
            "é": .null, "z": .array([.boolean(true), .string("")]), "a\"": .string("\u{1}\t\u{1f}\u{7f}\\/é漢"), "😀": .object([:]),
            "\u{ffff}": .boolean(false),
        ])
        #expect(value.text == "{\"a\\\"\":\"\\u0001\\u0009\\u001f\u{7f}\\\\/é漢\",\"z\":[true,\"\"],\"é\":null,\"\u{ffff}\":false,\"😀\":{}}")
    }

    @Test("Merkle trees of 1 to 9 entries are those of RFC 6962", arguments: 1...9)
    func merkle(count: Int) {
        let entries = (0..<count).map { [UInt8($0)] }
        // The same tree built from below: pairs are joined, an odd one moves up.
        var level = entries.map { SHA256.digest([0x00] + $0) }
        while level.count > 1 {
            var next: [SHA256Digest] = []
            var index = 0
            while index + 1 < level.count {
                next.append(SHA256.digest([0x01] + level[index].bytes + level[index + 1].bytes))
                index += 2
            }
            if index < level.count { next.append(level[index]) }
            level = next
        }
        #expect(MerkleTree.root(entries) == level[0])
    }

    @Test("A part of a chain is checked from the link before it")
    func part() {
        let entries = chain(8, signalID: signal)
        let tail = entries[4...]
        #expect(LedgerVerifier.firstFault(signalID: signal, entries: tail, seals: [], firstSeq: 5, previousLink: entries[3].link) == nil)
        let wrong = LedgerVerifier.firstFault(signalID: signal, entries: tail, seals: [], firstSeq: 5, previousLink: entries[2].link)
        #expect(wrong == LedgerFault(kind: .link, seq: 5))
    }

    @Test("A chain is bound to its signal")
    func otherSignal() {
        let fault = LedgerVerifier.firstFault(signalID: .make(), entries: chain(2, signalID: signal), seals: [])
        #expect(fault == LedgerFault(kind: .link, seq: 1))
    }

    @Test("A forged seal, a seal out of its chain and an unsigned one are told apart")
    func seals() {
        let entries = chain(3, signalID: signal)
        let head = LedgerHead(signalID: signal, seq: 3, link: entries[2].link)
        let first = LedgerSeal.next(number: 1, previousRoot: LedgerHash.zero, heads: [head])
        let second = LedgerSeal.next(number: 2, previousRoot: first.root, heads: [head])
        func fault(_ seals: [LedgerSeal], signed: Bool = true) -> LedgerFault? {
            LedgerVerifier.firstFault(signalID: signal, entries: entries, seals: seals, signatureIsGood: { _ in signed })
        }
        #expect(fault([first, second]) == nil)
        // A seal that is no neighbour names the root before it.
        #expect(fault([second]) == nil)
        var lost = second
        lost.previousRoot = nil
        #expect(fault([lost]) == LedgerFault(kind: .root, seal: 2))
        var forged = first
        forged.heads[0].seq = 2
        #expect(fault([forged]) == LedgerFault(kind: .merkle, seal: 1))
        var loose = second
        loose.root = first.root
        #expect(fault([first, loose]) == LedgerFault(kind: .root, seal: 2))
        #expect(fault([first], signed: false) == LedgerFault(kind: .signature, seal: 1))
    }

    @Test("A document survives its JSON, with and without payloads")
    func document() throws {
        let entries = chain(3, signalID: signal)
        let seal = LedgerSeal.next(number: 1, previousRoot: LedgerHash.zero, heads: [LedgerHead(signalID: signal, seq: 3, link: entries[2].link)])
        let open = LedgerExport(signalID: signal, rows: entries.map { .init($0, isEntitled: true) }, seals: [.init(seal)])
        let read: LedgerExport = try WireJSON.decode(from: try WireJSON.encode(open))
        #expect(read == open)
        #expect(read.firstFault() == nil)
        let closed = LedgerExport(signalID: signal, rows: entries.map { .init($0, isEntitled: false) }, seals: [.init(seal)])
        #expect(closed.firstFault() == nil)
        #expect(!String(decoding: try WireJSON.encode(closed), as: UTF8.self).contains("payload"))
        var spoilt = open
        spoilt.rows[1].nonce = "00"
        #expect(spoilt.firstFault() == LedgerFault(kind: .payload, seq: 2))
    }
}
