#include "engine/gateway/url/text.h"

#include <gtest/gtest.h>

#include "engine/gateway/url/trusted_proxies.h"

namespace hako::gateway::url {
namespace {

TEST(Text, PercentDecodes) {
    EXPECT_EQ(percent_decoded("a%20b%2Fc", false), "a b/c");
    EXPECT_EQ(percent_decoded("a+b", false), "a+b");
    EXPECT_EQ(percent_decoded("a+b", true), "a b");
    EXPECT_EQ(percent_decoded("%", false), "%");
    EXPECT_EQ(percent_decoded("%4", false), "%4");
    EXPECT_EQ(percent_decoded("%zz%41", false), "%zzA");
    EXPECT_EQ(percent_decoded("%2541", false), "%41") << "once, not twice";
}

TEST(Text, KnowsHosts) {
    EXPECT_EQ(host_name("Example.COM:8080"), "example.com");
    EXPECT_EQ(host_name(" example.com "), "example.com");
    EXPECT_EQ(host_name("[::1]:80"), "[::1]");
    EXPECT_EQ(host_name("[::1]"), "[::1]");
    EXPECT_EQ(host_name(""), "");
}

TEST(Text, KnowsTokensAndValues) {
    EXPECT_TRUE(is_token("X-Custom_1"));
    EXPECT_FALSE(is_token(""));
    EXPECT_FALSE(is_token("a b"));
    EXPECT_FALSE(is_token("a\xff"));
    EXPECT_TRUE(is_field_value("a\tb \xc3\xa9"));
    EXPECT_FALSE(is_field_value("a\rb"));
    EXPECT_FALSE(is_field_value(std::string_view("\0", 1)));
}

http::Peer tcp_peer(std::string_view address) {
    http::Peer peer;
    peer.address = address;
    return peer;
}

TEST(TrustedProxies, FindTheClient) {
    const auto proxies = TrustedProxies::parse("unix, 127.0.0.0/8 10.1.0.0/16,::1").value();
    http::Peer unix_peer;
    unix_peer.is_unix = true;
    struct Case {
        http::Peer peer;
        std::string_view chain;
        std::string_view client;
    };
    const Case cases[] = {
        {tcp_peer("192.0.2.1"), "", "192.0.2.1"},
        {tcp_peer("192.0.2.1"), "6.6.6.6", "192.0.2.1"},  // not believed
        {tcp_peer("127.0.0.1"), "", "127.0.0.1"},
        {tcp_peer("127.0.0.1"), "192.0.2.1", "192.0.2.1"},
        {tcp_peer("127.0.0.1"), "6.6.6.6, 192.0.2.1", "192.0.2.1"},  // the client made up the first
        {tcp_peer("127.0.0.1"), "192.0.2.1, 10.1.2.3", "192.0.2.1"},
        {tcp_peer("127.0.0.1"), "10.1.9.9, 10.1.2.3", "10.1.9.9"},
        {tcp_peer("127.0.0.1"), "192.0.2.1, nonsense", "127.0.0.1"},
        {tcp_peer("127.0.0.1"), "192.0.2.1:4711", "192.0.2.1"},
        {tcp_peer("::1"), "[2001:db8::7]:443", "2001:db8::7"},
        {tcp_peer("::ffff:127.0.0.1"), "192.0.2.1", "192.0.2.1"},
        {unix_peer, "192.0.2.1", "192.0.2.1"},
        {unix_peer, "", ""},
    };
    for (const Case& one : cases) {
        EXPECT_EQ(proxies.client_address(one.peer, one.chain), one.client)
            << one.peer.address << " " << one.chain;
    }
}

TEST(TrustedProxies, RefuseWhatIsNoNetwork) {
    EXPECT_TRUE(TrustedProxies::parse("").has_value());
    for (const std::string_view text :
         {"10.0.0.0/33",
          "::1/129",
          "10.0.0/8",
          "10.0.0.0/",
          "10.0.0.0/-1",
          "localhost",
          "10.0.0.0/8x"}) {
        EXPECT_FALSE(TrustedProxies::parse(text).has_value()) << text;
    }
    const auto none = TrustedProxies::parse("").value();
    EXPECT_FALSE(none.trusts(tcp_peer("127.0.0.1")));
    const auto odd = TrustedProxies::parse("192.0.2.128/25").value();
    EXPECT_TRUE(odd.trusts(tcp_peer("192.0.2.200")));
    EXPECT_FALSE(odd.trusts(tcp_peer("192.0.2.100")));
}

}  // namespace
}  // namespace hako::gateway::url
