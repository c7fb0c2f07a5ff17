#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <netinet/in.h>

namespace hako::config {

inline constexpr std::size_t kTcpAddressesMax = 16;

/// Where to listen.
struct TcpAddress {
    sockaddr_storage address{};
    socklen_t bytes = 0;
    bool is_loopback = false;
    /// `*`: all addresses of both families; a machine without IPv6 takes it as 0.0.0.0.
    bool is_any = false;
};

/// Reads `127.0.0.1:9000,[::1]:9000,localhost:9000,*:9000`; localhost is both loopbacks. No names
/// are looked up. Empty text gives none; nothing if it is malformed or more than kTcpAddressesMax.
[[nodiscard]] std::optional<std::vector<TcpAddress>> read_tcp_addresses(std::string_view text);

}  // namespace hako::config
