#include "engine/base/result.h"

#include <array>
#include <cerrno>

namespace hako {

std::string_view errc_name(Errc code) noexcept {
    static constexpr std::array<std::string_view, kErrcCount> kNames = {
        "system",
        "timeout",
        "cancelled",
        "limit",
        "not_found",
        "exists",
        "invalid",
        "closed",
        "protocol",
        "unsupported",
    };
    const auto index = static_cast<std::size_t>(code);
    return index < kNames.size() ? kNames[index] : std::string_view("unknown");
}

Error errno_error(const char* what) noexcept {
    return Error{.code = Errc::kSystem, .sys_errno = errno, .what = what};
}

}  // namespace hako
