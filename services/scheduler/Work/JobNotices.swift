import Contracts
import Postgres
import ServiceRuntime
import Synchronization

/// Gathers which accounts' jobs have changed, and tells all replicas at most so often.
final class JobNotices: Sendable {
    private struct State {
        var accounts: Set<AccountID> = []
        var isSending = false
    }

    private let pool: PostgresPool
    private let loop: EventLoop
    private let state = Mutex(State())
    /// Changes within this time are told together.
    static let gathering = Duration.milliseconds(20)

    init(pool: PostgresPool, loop: EventLoop) {
        self.pool = pool
        self.loop = loop
    }

    func note(_ accounts: Set<AccountID>) {
        if accounts.isEmpty { return }
        let mustSend = state.withLock { state -> Bool in
            state.accounts.formUnion(accounts)
            defer { state.isSending = true }
            return !state.isSending
        }
        if mustSend { Task(on: loop) { await self.send() } }
    }

    private func send() async {
        while true {
            let accounts = state.withLock { state -> Set<AccountID> in
                defer { state.accounts = [] }
                if state.accounts.isEmpty { state.isSending = false }
                return state.accounts
            }
            if accounts.isEmpty { return }
            // One that is lost costs those who listen up to two seconds.
            _ = try? await pool.pipeline(JobNotice.sending(accounts))
            try? await Task.sleep(for: Self.gathering)
        }
    }
}
