#include "engine/base/unique_fd.h"

#include <cerrno>

#include <unistd.h>

#include "engine/base/ensure.h"

namespace hako {

void UniqueFd::reset(int fd) noexcept {
    if (fd_ >= 0) {
        const int saved_errno = errno;
        const int rc = ::close(fd_);
        ENSURE(rc == 0 || errno != EBADF, "closed a descriptor that was not open");
        errno = saved_errno;
    }
    fd_ = fd;
}

}  // namespace hako
