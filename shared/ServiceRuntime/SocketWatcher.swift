internal import CLibEvent

/// Watches one file descriptor on a loop: for the C libraries that do their own reading and writing (libpq, hiredis).
///
/// Made, changed and closed only on the loop's thread. It does not own the descriptor: close the watcher before the descriptor.
public final class SocketWatcher {
    private let loop: EventLoop
    private let callbacks: Callbacks
    private let retained: Unmanaged<Callbacks>
    private var readEvent: OpaquePointer?
    private var writeEvent: OpaquePointer?

    private final class Callbacks {
        let loop: EventLoop
        var onReadable: () -> Void
        var onWritable: () -> Void

        init(loop: EventLoop, onReadable: @escaping () -> Void, onWritable: @escaping () -> Void) {
            self.loop = loop
            self.onReadable = onReadable
            self.onWritable = onWritable
        }
    }

    fileprivate init(loop: EventLoop, fileDescriptor: Int32, onReadable: @escaping () -> Void, onWritable: @escaping () -> Void) {
        loop.checkIsolated()
        self.loop = loop
        callbacks = Callbacks(loop: loop, onReadable: onReadable, onWritable: onWritable)
        retained = Unmanaged.passRetained(callbacks)
        readEvent = event_new(
            loop.base,
            fileDescriptor,
            Int16(EV_READ | EV_PERSIST),
            { _, _, context in
                guard let context else { return }
                let callbacks = Unmanaged<Callbacks>.fromOpaque(context).takeUnretainedValue()
                callbacks.loop.turn { callbacks.onReadable() }
            },
            retained.toOpaque()
        )
        writeEvent = event_new(
            loop.base,
            fileDescriptor,
            Int16(EV_WRITE | EV_PERSIST),
            { _, _, context in
                guard let context else { return }
                let callbacks = Unmanaged<Callbacks>.fromOpaque(context).takeUnretainedValue()
                callbacks.loop.turn { callbacks.onWritable() }
            },
            retained.toOpaque()
        )
    }

    /// Whether to call back when there is something to read.
    public var wantsRead = false {
        didSet { if wantsRead != oldValue { toggle(readEvent, wantsRead) } }
    }

    /// Whether to call back when the descriptor takes more to write.
    public var wantsWrite = false {
        didSet { if wantsWrite != oldValue { toggle(writeEvent, wantsWrite) } }
    }

    /// Stops watching for good.
    public func close() {
        guard let read = readEvent, let write = writeEvent else { return }
        readEvent = nil
        writeEvent = nil
        event_free(read)
        event_free(write)
        callbacks.onReadable = {}
        callbacks.onWritable = {}
        retained.release()
    }

    private func toggle(_ event: OpaquePointer?, _ on: Bool) {
        guard let event else { return }
        if on { event_add(event, nil) } else { event_del(event) }
    }

    deinit { close() }
}

extension EventLoop {
    /// Watches a descriptor; nothing is called until `wantsRead` or `wantsWrite` is set. Call it on the loop.
    public func watch(fileDescriptor: Int32, onReadable: @escaping () -> Void, onWritable: @escaping () -> Void) -> SocketWatcher {
        SocketWatcher(loop: self, fileDescriptor: fileDescriptor, onReadable: onReadable, onWritable: onWritable)
    }
}
