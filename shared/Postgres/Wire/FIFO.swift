/// A queue whose storage is used again and again, so that a busy connection allocates nothing for it.
struct FIFO<Element> {
    private var storage: [Element] = []
    private var head = 0

    var isEmpty: Bool { head == storage.count }
    var count: Int { storage.count - head }
    var first: Element? { isEmpty ? nil : storage[head] }

    mutating func append(_ element: Element) { storage.append(element) }

    mutating func withFirst<Outcome>(_ body: (inout Element) -> Outcome) -> Outcome { body(&storage[head]) }

    mutating func update(where matches: (Element) -> Bool, _ body: (inout Element, _ isFirst: Bool) -> Void) {
        for index in storage.indices[head...] where matches(storage[index]) { return body(&storage[index], index == head) }
    }

    @discardableResult
    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let element = storage[head]
        head += 1
        if head == storage.count {
            storage.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 256 && head * 2 > storage.count {
            storage.removeFirst(head)
            head = 0
        }
        return element
    }

    mutating func removeAll() -> [Element] {
        defer {
            storage = []
            head = 0
        }
        return Array(storage[head...])
    }

    mutating func removeAll(where shouldRemove: (Element) -> Bool) -> [Element] {
        let live = removeAll()
        var removed: [Element] = []
        for element in live { if shouldRemove(element) { removed.append(element) } else { storage.append(element) } }
        return removed
    }
}
