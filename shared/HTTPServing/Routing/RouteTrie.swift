/// The routes of a router as a tree by path segment, walked on raw bytes.
struct RouteTrie: Sendable {
    private struct Node: Sendable {
        var children: [(segment: [UInt8], node: Int)] = []
        var parameterChild: Int?
        var routes: [(method: Method, route: Route, names: [String])] = []
        var allow = ""
    }

    private var nodes = [Node()]

    /// Adds a route; two routes of one method and one shape are a mistake of the programmer.
    mutating func insert(_ route: Route) {
        var node = 0
        var names: [String] = []
        for segment in route.pattern.split(separator: "/") {
            if segment.hasPrefix("{"), segment.hasSuffix("}") {
                let name = String(segment.dropFirst().dropLast())
                precondition(!name.isEmpty && !names.contains(name), "a path parameter needs a name of its own: \(route.pattern)")
                names.append(name)
                if let child = nodes[node].parameterChild {
                    node = child
                } else {
                    nodes.append(Node())
                    nodes[node].parameterChild = nodes.count - 1
                    node = nodes.count - 1
                }
            } else {
                let bytes = Array(segment.utf8)
                if let child = nodes[node].children.first(where: { $0.segment == bytes }) {
                    node = child.node
                } else {
                    nodes.append(Node())
                    nodes[node].children.append((bytes, nodes.count - 1))
                    node = nodes.count - 1
                }
            }
        }
        precondition(!nodes[node].routes.contains { $0.method == route.method }, "two routes for \(route.method.rawValue) \(route.pattern)")
        nodes[node].routes.append((route.method, route, names))
        var methods = nodes[node].routes.map(\.method.rawValue)
        if nodes[node].routes.contains(where: { $0.method == .get }), !methods.contains("HEAD") { methods.append("HEAD") }
        methods.append("OPTIONS")
        nodes[node].allow = Set(methods).sorted().joined(separator: ", ")
    }

    /// Finds the route of a path: with or without a slash at its end, and without mercy for empty or dotted segments.
    func match(_ method: Method, _ bytes: [UInt8], _ path: Range<Int>) -> RouteMatch {
        bytes.withUnsafeBytes { match(method, UnsafeRawBufferPointer(rebasing: $0[path])) }
    }

    private func match(_ method: Method, _ path: UnsafeRawBufferPointer) -> RouteMatch {
        guard path.first == 0x2F else { return .unknown }
        var segments: [Range<Int>] = []
        segments.reserveCapacity(8)
        var start = 1
        var decoded: [Int: String] = [:]
        var index = 1
        var escaped = false
        func finish(_ end: Int) -> Bool {
            segments.append(start..<end)
            if escaped {
                guard let text = PercentCoding.decode(Array(path[start..<end])[...], plusIsSpace: false) else { return false }
                decoded[segments.count - 1] = text
                escaped = false
                return text != "." && text != ".."
            }
            let length = end - start
            return !(length == 1 && path[start] == 0x2E) && !(length == 2 && path[start] == 0x2E && path[start + 1] == 0x2E)
        }
        while index < path.count {
            let byte = path[index]
            if byte == 0x25 { escaped = true }
            if byte == 0x2F {
                guard finish(index) else { return .malformed }
                start = index + 1
                if segments.count > 32 { return .unknown }
            }
            index += 1
        }
        if start < path.count { guard finish(path.count) else { return .malformed } }
        guard let (node, places) = walk(0, 0, segments, decoded, path, []) else { return .unknown }
        let entry = nodes[node]
        if method == .options, !entry.routes.contains(where: { $0.method == .options }) { return .options(allow: entry.allow) }
        for candidate in entry.routes where candidate.method == method { return found(candidate, places, segments, decoded, path) }
        if method == .head {
            for candidate in entry.routes where candidate.method == .get { return found(candidate, places, segments, decoded, path) }
        }
        return .otherMethods(allow: entry.allow)
    }

    private func found(
        _ entry: (method: Method, route: Route, names: [String]),
        _ places: [Int],
        _ segments: [Range<Int>],
        _ decoded: [Int: String],
        _ path: UnsafeRawBufferPointer
    ) -> RouteMatch {
        var parameters = PathParameters()
        for (name, place) in zip(entry.names, places) {
            parameters.append(name, decoded[place] ?? UnsafeRawBufferPointer(rebasing: path[segments[place]]).text)
        }
        return .found(entry.route, parameters)
    }

    /// Literal segments win over parameters; where they lead nowhere the parameter is tried.
    private func walk(
        _ node: Int,
        _ depth: Int,
        _ segments: [Range<Int>],
        _ decoded: [Int: String],
        _ path: UnsafeRawBufferPointer,
        _ places: [Int]
    ) -> (node: Int, places: [Int])? {
        if depth == segments.count { return nodes[node].routes.isEmpty ? nil : (node, places) }
        let range = segments[depth]
        if range.isEmpty { return nil }
        let literal: Int?
        if let text = decoded[depth] {
            literal = nodes[node].children.first { $0.segment.elementsEqual(text.utf8) }?.node
        } else {
            literal =
                nodes[node].children.first { child in
                    child.segment.count == range.count && child.segment.elementsEqual(UnsafeRawBufferPointer(rebasing: path[range]))
                }?.node
        }
        if let literal, let result = walk(literal, depth + 1, segments, decoded, path, places) { return result }
        guard let parameter = nodes[node].parameterChild else { return nil }
        return walk(parameter, depth + 1, segments, decoded, path, places + [depth])
    }
}
