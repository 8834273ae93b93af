internal import CCurl
internal import ServiceRuntime

/// libcurl's transfers on one event loop: its sockets are watched and its time is kept there, nothing of it ever blocks.
///
/// Made, used and closed only on the loop's thread; unchecked because that is what its owner has to see to.
final class Transfers: @unchecked Sendable {
    private let loop: EventLoop
    private let multi: UnsafeMutableRawPointer
    private var watchers: [Int32: SocketWatcher] = [:]
    private var timer: LoopTimer?
    private var endings: [UnsafeMutableRawPointer: (CURLcode) -> Void] = [:]

    /// Once for the process, before any other thread may use the library.
    private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    init(loop: EventLoop, maximumConnections: Int) {
        loop.checkIsolated()
        guard Self.isReady, let multi = curl_multi_init() else { preconditionFailure("out of memory for libcurl") }
        self.loop = loop
        self.multi = multi
        auspex_curl_multi_set_long(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, maximumConnections)
        auspex_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, maximumConnections)
        auspex_curl_multi_set_callbacks(
            multi,
            { _, descriptor, what, context, _ in
                guard let context else { return 0 }
                Unmanaged<Transfers>.fromOpaque(context).takeUnretainedValue().watch(descriptor, what)
                return 0
            },
            { _, milliseconds, context in
                guard let context else { return 0 }
                Unmanaged<Transfers>.fromOpaque(context).takeUnretainedValue().setTimer(milliseconds)
                return 0
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }

    /// Begins a transfer; `ending` is called once, unless it is removed before.
    func add(_ handle: UnsafeMutableRawPointer, ending: @escaping (CURLcode) -> Void) {
        endings[handle] = ending
        guard curl_multi_add_handle(multi, handle) == CURLM_OK else {
            endings[handle] = nil
            return ending(CURLE_FAILED_INIT)
        }
    }

    /// Ends a transfer, with its connection where that is the transfer's alone.
    func remove(_ handle: UnsafeMutableRawPointer) {
        endings[handle] = nil
        curl_multi_remove_handle(multi, handle)
    }

    /// Ends everything.
    func close() {
        timer?.cancel()
        timer = nil
        auspex_curl_multi_set_callbacks(multi, nil, nil, nil)
        curl_multi_cleanup(multi)
        for watcher in watchers.values { watcher.close() }
        watchers = [:]
        endings = [:]
    }

    private func watch(_ descriptor: Int32, _ what: Int32) {
        if what == CURL_POLL_REMOVE {
            watchers.removeValue(forKey: descriptor)?.close()
            return
        }
        let watcher =
            watchers[descriptor]
            ?? loop.watch(
                fileDescriptor: descriptor,
                onReadable: { [weak self] in self?.act(descriptor, CURL_CSELECT_IN) },
                onWritable: { [weak self] in self?.act(descriptor, CURL_CSELECT_OUT) }
            )
        watchers[descriptor] = watcher
        watcher.wantsRead = what & CURL_POLL_IN != 0
        watcher.wantsWrite = what & CURL_POLL_OUT != 0
    }

    private func setTimer(_ milliseconds: Int) {
        timer?.cancel()
        timer = nil
        guard milliseconds >= 0 else { return }
        // Never at once, even for 0: the library calls this from inside its own functions.
        timer = loop.timer(after: .milliseconds(milliseconds)) { [weak self] in
            guard let self else { return }
            timer = nil
            act(CURL_SOCKET_TIMEOUT, 0)
        }
    }

    private func act(_ descriptor: Int32, _ what: Int32) {
        var running: Int32 = 0
        curl_multi_socket_action(multi, descriptor, what, &running)
        var ended: [(ending: (CURLcode) -> Void, result: CURLcode)] = []
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle else { continue }
            if let ending = endings.removeValue(forKey: handle) { ended.append((ending, message.pointee.data.result)) }
        }
        for one in ended { one.ending(one.result) }
    }
}
