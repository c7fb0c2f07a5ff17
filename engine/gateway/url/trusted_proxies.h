#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gateway/http/message.h"

namespace hako::gateway::url {

/// An IP address; IPv4 as IPv4-mapped IPv6, so that one comparison does for both.
struct IpAddress {
    std::array<std::uint8_t, 16> bytes{};

    /// Nothing unless `text` is an address in digits (`::1`, `10.0.0.1`; no port, no brackets).
    [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
};

/// Whose X-Forwarded-* headers are believed: the peers that the setting `trusted_proxies` names.
class TrustedProxies {
public:
    /// `unix`, addresses and networks (`10.0.0.0/8`), separated by commas or blanks. Errors: the
    /// part that is neither.
    [[nodiscard]] static std::expected<TrustedProxies, std::string> parse(std::string_view text);

    [[nodiscard]] bool trusts(const http::Peer& peer) const;
    /// The address of the client: of the hops that X-Forwarded-For and the connection name, the
    /// last one that is no trusted proxy; the first if all are. Empty if nobody named one.
    [[nodiscard]] std::string client_address(const http::Peer& peer, std::string_view forwarded_for)
        const;

private:
    struct Network {
        IpAddress address;
        std::uint32_t prefix_bits = 128;
    };

    [[nodiscard]] bool trusts(const IpAddress& address) const;

    std::vector<Network> networks_;
    bool unix_ = false;
};

}  // namespace hako::gateway::url
