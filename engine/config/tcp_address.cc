#include "engine/config/tcp_address.h"

#include <charconv>
#include <cstring>
#include <string>

#include <arpa/inet.h>

namespace hako::config {
namespace {

std::optional<std::uint16_t> read_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port == 0) {
        return std::nullopt;
    }
    return port;
}

TcpAddress of_v4(const in_addr& address, std::uint16_t port) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr = address;
    in.sin_port = htons(port);
    TcpAddress made{.bytes = sizeof(in), .is_loopback = ntohl(address.s_addr) >> 24U == 127};
    std::memcpy(&made.address, &in, sizeof(in));
    return made;
}

TcpAddress of_v6(const in6_addr& address, std::uint16_t port) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_addr = address;
    in.sin6_port = htons(port);
    TcpAddress made{.bytes = sizeof(in), .is_loopback = IN6_IS_ADDR_LOOPBACK(&address) != 0};
    std::memcpy(&made.address, &in, sizeof(in));
    return made;
}

bool add_host(std::string_view host, std::uint16_t port, std::vector<TcpAddress>& into) {
    if (host == "localhost") {
        into.push_back(of_v4({.s_addr = htonl(INADDR_LOOPBACK)}, port));
        into.push_back(of_v6(in6addr_loopback, port));
        return true;
    }
    if (host == "*") {
        into.push_back(of_v6(in6addr_any, port));
        into.back().is_any = true;
        return true;
    }
    in6_addr v6{};
    if (host.starts_with('[') && host.ends_with(']')) {
        const std::string digits(host.substr(1, host.size() - 2));
        if (::inet_pton(AF_INET6, digits.c_str(), &v6) != 1) {
            return false;
        }
        into.push_back(of_v6(v6, port));
        return true;
    }
    in_addr v4{};
    if (::inet_pton(AF_INET, std::string(host).c_str(), &v4) != 1) {
        return false;
    }
    into.push_back(of_v4(v4, port));
    return true;
}

}  // namespace

std::optional<std::vector<TcpAddress>> read_tcp_addresses(std::string_view text) {
    std::vector<TcpAddress> addresses;
    while (!text.empty()) {
        const std::size_t comma = text.find(',');
        std::string_view part = text.substr(0, comma);
        text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
        while (part.starts_with(' ')) {
            part.remove_prefix(1);
        }
        const std::size_t colon = part.rfind(':');
        if (colon == std::string_view::npos) {
            return std::nullopt;
        }
        const auto port = read_port(part.substr(colon + 1));
        if (!port || !add_host(part.substr(0, colon), *port, addresses) ||
            addresses.size() > kTcpAddressesMax) {
            return std::nullopt;
        }
    }
    return addresses;
}

}  // namespace hako::config
