// What running a child needs of Linux and Swift's Glibc module does not show: calls that glibc declares for _GNU_SOURCE only.
// Declared by hand instead of by defining _GNU_SOURCE, which would give structures a second shape beside the one of other modules.
#include <features.h>
#include <fcntl.h>
#include <sys/types.h>

extern int memfd_create(const char *name, unsigned int flags);
extern int pipe2(int descriptors[2], int flags);
extern int syncfs(int descriptor);

/// A file in memory that is not passed on by exec and can be sealed.
static inline int auspex_memory_file(const char *name)
{
    return memfd_create(name, 0x0001U | 0x0002U);  // MFD_CLOEXEC | MFD_ALLOW_SEALING
}

/// Makes a memory file unchangeable for everybody who ever gets a descriptor of it.
static inline int auspex_seal(int descriptor)
{
    return fcntl(descriptor, 1033, 0x0001 | 0x0002 | 0x0004 | 0x0008);  // F_ADD_SEALS: seal, shrink, grow, write
}

/// A pipe whose ends are closed on exec from the moment they exist: between pipe() and fcntl() another thread could spawn a child.
static inline int auspex_pipe(int descriptors[2])
{
    return pipe2(descriptors, O_CLOEXEC);
}

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/// Two connected sockets of whole messages, closed on exec.
static inline int auspex_socket_pair(int descriptors[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, descriptors);
}

/// A socket for a connection, closed on exec, whose calls do not wait.
static inline int auspex_stream_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/// The descriptor that the next message carries, closed on exec; -1 with errno (0 at the end) when there is none.
static inline int auspex_receive_descriptor(int socket)
{
    char text[8];
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
    struct iovec part = {.iov_base = text, .iov_len = sizeof text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(socket, &message, 0x40000000);  // MSG_CMSG_CLOEXEC
    if (length < 0) return -1;
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    if (length == 0 || !first || first->cmsg_level != SOL_SOCKET || first->cmsg_type != SCM_RIGHTS || first->cmsg_len != CMSG_LEN(sizeof(int))) {
        errno = 0;
        return -1;
    }
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(first), sizeof descriptor);
    return descriptor;
}
