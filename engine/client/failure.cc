#include "engine/client/failure.h"

#include <algorithm>
#include <cstring>

namespace hako::client {
namespace {

void append(hako_client_error& error, std::string_view text) noexcept {
    const std::size_t used = std::strlen(error.text);
    const std::size_t bytes = std::min(text.size(), sizeof(error.text) - 1 - used);
    std::memcpy(error.text + used, text.data(), bytes);
    error.text[used + bytes] = '\0';
}

}  // namespace

std::unexpected<hako_client_error> failure(int code, std::string_view text) noexcept {
    hako_client_error error{};
    error.code = code;
    append(error, text);
    return std::unexpected(error);
}

std::unexpected<hako_client_error> system_failure(int sys_errno, std::string_view step) noexcept {
    hako_client_error error{};
    error.code = HAKO_CLIENT_ESYSTEM;
    error.sys_errno = sys_errno;
    append(error, step);
    append(error, ": ");
    // GNU strerror_r: thread-safe, may use the buffer or a constant.
    char scratch[96];
    append(error, ::strerror_r(sys_errno, scratch, sizeof(scratch)));
    return std::unexpected(error);
}

}  // namespace hako::client
