import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import Synchronization
import Testing

@testable import executor

/// The channel in the hands of code that means harm: it can end its own run, and nothing else.
@Suite struct RunChannelTests {
    /// Answers every question and counts them.
    private final class CountingGateway: RunGateway {
        private let counted = Mutex<[[UInt8]]>([])

        var questions: [[UInt8]] { counted.withLock { $0 } }

        func answer(_ message: [UInt8]) async -> GatewayAnswer {
            counted.withLock { $0.append(message) }
            return .refusal(GatewayAnswer.refused("no", "words"))
        }
    }

    private func run(_ app: String, _ gateway: any RunGateway, wallTime: Duration = .seconds(60)) async throws -> (RunVerdict, SandboxOutcome) {
        try await SandboxFixture.shared.get().run("import os, socket\n" + app, gateway: gateway) { $0.wallTime = wallTime }
    }

    /// The socket as hostile code would take it.
    private static let taken = "channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, 4)\n"

    @Test func aRefusalIsAnExceptionWithItsWords() async throws {
        let app = """
            import auspex
            def predict(context):
                auspex.bars("BTCUSD", "1d", lookback=3)
            """
        let gateway = CountingGateway()
        let (verdict, _) = try await run(app, gateway)
        #expect(verdict.failureKind == .exception && verdict.message.contains("BarsRefused: words"), "\(verdict)")
        #expect(
            gateway.questions.map { String(decoding: $0, as: UTF8.self) } == [
                #"{"bars":{"instrument":"BTCUSD","interval":"1d","lookback":3},"id":1}"#
            ]
        )
    }

    /// Each answer carries the number of its question, whatever that is; without one it has none.
    @Test func answersCarryTheNumbersOfTheirQuestions() async throws {
        let app =
            Self.taken + """
                import json
                def predict(context):
                    for question in (b'{"id":7}', b'{"id":-9223372036854775808}', b'{"id":"x"}', b"{}", b"nonsense"):
                        channel.send(question)
                        answer = json.loads(channel.recv(65536))
                        print(answer.get("id"), answer["refused"]["code"])
                """
        let (_, outcome) = try await run(app, CountingGateway())
        #expect(outcome.log.text == "7 no\n-9223372036854775808 no\nNone no\nNone no\nNone no\n")
    }

    /// What was forked has the channel as well; it would take the answers of the function.
    @Test func whatWasForkedAsksNothing() async throws {
        let app = """
            import auspex
            def ask():
                try: auspex.bars("BTCUSD", "1d", lookback=3)
                except auspex.BarsRefused as error: return error.code
            def predict(context):
                child = os.fork()
                if child == 0:
                    print(ask(), flush=True)
                    os._exit(0)
                os.waitpid(child, 0)
                print(ask())
            """
        let gateway = CountingGateway()
        let (_, outcome) = try await run(app, gateway)
        #expect(outcome.log.text.hasPrefix("other_process\nno\n"), "\(outcome.log.text)")
        #expect(gateway.questions.count == 1)
    }

    @Test func nothingIsAskedWhileTheModuleIsImported() async throws {
        let gateway = CountingGateway()
        let (verdict, _) = try await run("from auspex import bars\nbars('BTCUSD', '1d')\ndef predict(context): pass\n", gateway)
        #expect(verdict.message.contains("BarsRefused") && verdict.message.contains("inside the function"), "\(verdict)")
        #expect(gateway.questions.isEmpty)
    }

    @Test func garbageIsAQuestionLikeAnyOther() async throws {
        let app =
            Self.taken + """
                def predict(context):
                    for text in (b"\\xff\\x00\\xfe", b"[" * 4000, b"{}", b"null", b'{"bars":{"instrument":7}}'):
                        channel.send(text)
                        channel.recv(65536)
                """
        let gateway = CountingGateway()
        let (verdict, outcome) = try await run(app, gateway)
        #expect(verdict.failureKind == nil, "\(verdict) \(outcome.log.text)")
        #expect(gateway.questions.count == 5)
    }

    @Test(arguments: ["b'x' * 100000", "b''"]) func whatNoRunnerSaysEndsTheChannel(_ message: String) async throws {
        let app =
            Self.taken + """
                def predict(context):
                    channel.send(\(message))
                    try: print("then", len(channel.recv(100)))
                    except OSError as error: print("then", error.errno)
                    try: channel.send(b"more")
                    except OSError: print("nobody listens")
                """
        let gateway = CountingGateway()
        let (_, outcome) = try await run(app, gateway)
        #expect(outcome.log.text.contains("nobody listens"), "\(outcome.log.text)")
        #expect(gateway.questions.isEmpty)
    }

    @Test func aFloodEndsTheChannelAndTheRunGoesOn() async throws {
        let app =
            Self.taken + """
                from auspex import Prediction
                def predict(context):
                    count = 0
                    try:
                        while True:
                            channel.send(b"{}")
                            channel.recv(65536)
                            count += 1
                    except OSError:
                        print("asked", count)
                    return Prediction(1)
                """
        let gateway = CountingGateway()
        let (verdict, outcome) = try await run(app, gateway)
        #expect(verdict.values == ["1"], "\(verdict) \(outcome.log.text)")
        #expect(gateway.questions.count == RunChannel.mostMessages)
    }

    /// One answer waits for it, and until that is taken nothing more is read: what it costs us does not grow.
    @Test func whoNeverReadsIsNotReadEither() async throws {
        let app =
            Self.taken + """
                def predict(context):
                    channel.setblocking(False)
                    sent = 0
                    import os, time
                    end = time.monotonic() + 2
                    while time.monotonic() < end:
                        try:
                            channel.send(b"{}")
                            sent += 1
                        except BlockingIOError:
                            os.sched_yield()
                        except OSError:
                            break
                    print("sent", sent)
                """
        let gateway = CountingGateway()
        let (verdict, outcome) = try await run(app, gateway)
        #expect(verdict.failureKind == nil, "\(verdict) \(outcome.log.text)")
        #expect(gateway.questions.count <= RunChannel.mostMessages)
    }

    @Test func descriptorsThatAreSentAreNotTaken() async throws {
        let before = try Self.descriptors()
        let app =
            Self.taken + """
                import array
                def predict(context):
                    files = [os.open("/usr/bin/python3", os.O_RDONLY) for _ in range(50)]
                    for _ in range(100):
                        channel.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))])
                        channel.recv(65536)
                    print("sent")
                """
        let gateway = CountingGateway()
        let (_, outcome) = try await run(app, gateway)
        #expect(outcome.log.text == "sent\n")
        #expect(gateway.questions.count == 100)
        // Other tests run beside this one and have descriptors of their own: five thousand would stand out.
        #expect(try Self.descriptors() < before + 1000)
    }

    private static func descriptors() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }

    /// Code that takes the start message itself, or pretends to be ready, has only its own run to lose.
    @Test func codeThatTakesTheRunnersMessagesLosesItsRun() async throws {
        let app =
            Self.taken + """
                channel.send(b'{"ready":true}')
                channel.recvmsg(65536, 1000)
                def predict(context): pass
                """
        let (verdict, _) = try await run(app, CountingGateway(), wallTime: .seconds(2))
        #expect(verdict.failureKind == .timeLimit, "\(verdict)")
    }
}
