/// Ways out by the network. `HOST_…` words are replaced by what the test opened outside: listeners that must never hear anything.
extension Attack {
    static let network: [Attack] = [
        .probe("tcp to a listener of the host", "refused(lambda: connect(socket.AF_INET, ('127.0.0.1', HOST_PORT)), errno.ECONNREFUSED)"),
        .probe("tcp to the host's other addresses", "refused(lambda: connect(socket.AF_INET, ('0.0.0.0', HOST_PORT)), errno.ECONNREFUSED)"),
        .probe("tcp to the gateway of a private network", "refused(lambda: connect(socket.AF_INET, ('10.0.0.1', 80)), errno.ENETUNREACH)"),
        .probe("tcp to a public address", "refused(lambda: connect(socket.AF_INET, ('1.1.1.1', 443)), errno.ENETUNREACH)"),
        .probe("tcp to link-local metadata", "refused(lambda: connect(socket.AF_INET, ('169.254.169.254', 80)), errno.ENETUNREACH)"),
        .probe("tcp over IPv6", "refused(lambda: connect(socket.AF_INET6, ('2606:4700:4700::1111', 443)), errno.ENETUNREACH, errno.EADDRNOTAVAIL)"),
        .probe(
            "tcp to the host's loopback over IPv6",
            "refused(lambda: connect(socket.AF_INET6, ('::1', HOST_PORT)), errno.ECONNREFUSED, errno.EADDRNOTAVAIL)"
        ),
        .probe(
            "a datagram to the outside",
            "refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53)), errno.ENETUNREACH)"
        ),
        .probe(
            "a name of the outside",
            """
            try: got.append(repr(socket.getaddrinfo("example.org", 443)))
            except socket.gaierror: pass
            """
        ),
        .probe("vsock, which no namespace holds", "refused(lambda: socket.socket(40, socket.SOCK_STREAM), errno.EAFNOSUPPORT)"),
        .probe("netlink", "refused(lambda: socket.socket(16, socket.SOCK_RAW, 0), errno.EAFNOSUPPORT)"),
        .probe("packet sockets", "refused(lambda: socket.socket(17, socket.SOCK_RAW), errno.EAFNOSUPPORT)"),
        .probe("the kernel's cipher sockets", "refused(lambda: socket.socket(38, socket.SOCK_SEQPACKET), errno.EAFNOSUPPORT)"),
        .probe(
            "every other family of sockets",
            """
            for family in range(3, 64):
                if family != socket.AF_INET6:
                    refused(lambda: socket.socket(family, socket.SOCK_STREAM), errno.EAFNOSUPPORT)
            """
        ),
        .probe("pairs of a family with code of its own", "refused(lambda: socket.socketpair(30, socket.SOCK_STREAM), errno.EAFNOSUPPORT)"),
        .probe("raw sockets", "refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1), errno.EPERM)"),
        .probe("an abstract socket of the host", "refused(lambda: connect(socket.AF_UNIX, '\\0HOST_ABSTRACT'), errno.ECONNREFUSED)"),
        .probe("a socket of the host by its path", "refused(lambda: connect(socket.AF_UNIX, 'HOST_FOLDER/socket'), errno.ENOENT)"),
        .probe(
            "network devices of the host",
            """
            devices = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
            if devices != ["lo"]: got.append(repr(devices))
            """
        ),
        .probe("making a network namespace", "refused(lambda: call(272, 0x40000000), errno.EPERM)"),
    ]
}
