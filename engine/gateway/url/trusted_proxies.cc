#include "engine/gateway/url/trusted_proxies.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>

#include <fmt/format.h>

#include "engine/gateway/url/text.h"

namespace hako::gateway::url {

namespace {

constexpr std::uint32_t kMappedBits = 96;  // of ::ffff:0:0/96, where IPv4 is mapped to

/// What may stand around an address in X-Forwarded-For: brackets and a port, or an IPv4's port.
std::string_view bare_address(std::string_view hop) {
    hop = trimmed(hop);
    if (hop.starts_with('[')) {
        return hop.substr(1, hop.find(']') - 1);
    }
    if (std::ranges::count(hop, ':') == 1) {
        return hop.substr(0, hop.find(':'));
    }
    return hop;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    const std::string digits(text);
    IpAddress address;
    if (::inet_pton(AF_INET6, digits.c_str(), address.bytes.data()) == 1) {
        return address;
    }
    std::array<std::uint8_t, 4> four{};
    if (::inet_pton(AF_INET, digits.c_str(), four.data()) != 1) {
        return std::nullopt;
    }
    address.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    std::ranges::copy(four, address.bytes.begin() + kMappedBits / 8);
    return address;
}

std::expected<TrustedProxies, std::string> TrustedProxies::parse(std::string_view text) {
    TrustedProxies proxies;
    while (!text.empty()) {
        std::string_view part = text.substr(0, text.find_first_of(", \t"));
        text.remove_prefix(std::min(part.size() + 1, text.size()));
        if (part.empty()) {
            continue;
        }
        if (part == "unix") {
            proxies.unix_ = true;
            continue;
        }
        const std::string_view whole = part;
        const std::string_view digits = take_until(part, '/');
        const auto address = IpAddress::parse(digits);
        const bool is_four = digits.find(':') == std::string_view::npos;
        Network network{.address = address.value_or(IpAddress{})};
        if (digits.size() < whole.size()) {
            const auto [end, error] =
                std::from_chars(part.data(), part.data() + part.size(), network.prefix_bits);
            const bool is_number = error == std::errc{} && end == part.data() + part.size();
            network.prefix_bits = is_number ? network.prefix_bits : UINT32_MAX / 2;
            network.prefix_bits += is_four ? kMappedBits : 0;
        }
        if (!address || network.prefix_bits > 128) {
            return std::unexpected(
                fmt::format("'{}' is no address, no network (10.0.0.0/8) and not `unix`", whole)
            );
        }
        proxies.networks_.push_back(network);
    }
    return proxies;
}

bool TrustedProxies::trusts(const IpAddress& address) const {
    return std::ranges::any_of(networks_, [&address](const Network& network) {
        const std::uint32_t whole = network.prefix_bits / 8;
        const std::uint32_t rest = network.prefix_bits % 8;
        if (std::memcmp(network.address.bytes.data(), address.bytes.data(), whole) != 0) {
            return false;
        }
        const auto mask = static_cast<std::uint8_t>(0xff00U >> rest);
        return rest == 0 || ((network.address.bytes[whole] ^ address.bytes[whole]) & mask) == 0;
    });
}

bool TrustedProxies::trusts(const http::Peer& peer) const {
    if (peer.is_unix) {
        return unix_;
    }
    const auto address = IpAddress::parse(peer.address);
    return address && trusts(*address);
}

std::string TrustedProxies::client_address(const http::Peer& peer, std::string_view forwarded_for)
    const {
    if (!trusts(peer)) {
        return std::string(peer.address);
    }
    std::string_view client = peer.address;
    while (!forwarded_for.empty()) {
        const std::size_t comma = forwarded_for.rfind(',');
        const bool is_first = comma == std::string_view::npos;
        const std::string_view hop =
            bare_address(is_first ? forwarded_for : forwarded_for.substr(comma + 1));
        forwarded_for = is_first ? std::string_view() : forwarded_for.substr(0, comma);
        const auto address = IpAddress::parse(hop);
        if (!address) {
            break;  // what stands before it was written by somebody who writes nonsense
        }
        client = hop;
        if (!trusts(*address)) {
            break;
        }
    }
    return std::string(client);
}

}  // namespace hako::gateway::url
