#include "sandbox/filters.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/unique_fd.h"

namespace hako::sandbox {
namespace {

constexpr sock_filter kFunctionFilter[] = {
#include "sandbox/function_filter.inc"
};
constexpr sock_filter kInitFilter[] = {
#include "sandbox/init_filter.inc"
};

}  // namespace

std::span<const sock_filter> function_filter() noexcept {
    return kFunctionFilter;
}
std::span<const sock_filter> init_filter() noexcept {
    return kInitFilter;
}

Result<std::vector<sock_filter>> read_filter(const char* path) {
    const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) != 0) {
        return fail_errno("open seccomp filter");
    }
    const auto bytes = static_cast<std::size_t>(info.st_size);
    if (bytes == 0 || bytes % sizeof(sock_filter) != 0 ||
        bytes > BPF_MAXINSNS * sizeof(sock_filter)) {
        return fail(Errc::kInvalid, "seccomp filter has a wrong length");
    }
    std::vector<sock_filter> filter(bytes / sizeof(sock_filter));
    if (::read(fd.get(), filter.data(), bytes) != static_cast<ssize_t>(bytes)) {
        return fail_errno("read seccomp filter");
    }
    return filter;
}

}  // namespace hako::sandbox
