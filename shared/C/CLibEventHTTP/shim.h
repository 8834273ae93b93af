// Settle glibc's feature macros before event-config.h defines _GNU_SOURCE: fd_set would otherwise differ between modules.
#include <features.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
