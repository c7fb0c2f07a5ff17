#include "tests/unit/auth/fixture.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "engine/gateway/auth/text.h"
#include "engine/registry/digest.h"

namespace hako::gateway::auth {

TestRequest::TestRequest(std::string_view method, std::string_view target)
    : method_(method), target_(target) {}

TestRequest& TestRequest::header(std::string_view name, std::string_view value) {
    owned_.emplace_back(name, value);
    return *this;
}

TestRequest& TestRequest::change(std::string_view name, std::string_view value) {
    for (auto& [known, text] : owned_) {
        if (same_name(known, name)) {
            text = value;
            return *this;
        }
    }
    return header(name, value);
}

TestRequest& TestRequest::drop(std::string_view name) {
    std::erase_if(owned_, [name](const auto& header) { return same_name(header.first, name); });
    return *this;
}

TestRequest& TestRequest::body(std::string_view body) {
    body_ = body;
    return *this;
}

std::string TestRequest::text_of(std::string_view name) const {
    for (const auto& [known, text] : owned_) {
        if (same_name(known, name)) {
            return text;
        }
    }
    return {};
}

void TestRequest::set_query(std::string_view query) {
    target_ = fmt::format("{}?{}", target_.substr(0, target_.find('?')), query);
}

const http::Request& TestRequest::get() {
    headers_.clear();
    for (const auto& [name, value] : owned_) {
        headers_.push_back({.name = name, .value = value});
    }
    request_ = {};
    request_.method = method_;
    request_.target = target_;
    std::string_view rest = target_;
    request_.path = take_until(rest, '?');
    request_.query = rest;
    request_.headers = headers_;
    request_.body = body_;
    request_.peer = peer;
    return request_;
}

namespace {

Signature claim_of(const SignWith& with, const BasicTime& time) {
    Signature claim;
    claim.key_id = with.key_id;
    claim.date = view_of(time).substr(0, 8);
    claim.region = with.region;
    claim.service = with.service;
    claim.terminator = "aws4_request";
    claim.signed_headers = with.signed_headers;
    claim.time_s = with.time_s;
    return claim;
}

std::string signature_with(TestRequest& request, const SignWith& with, const Signature& claim) {
    Hasher hasher;
    Canonicalizer canonicalizer;
    const HexDigest payload = to_hex(hasher.sha256(request.get().body));
    const std::string_view canonical = canonicalizer.write(request.get(), claim, view_of(payload));
    const HexDigest hash = to_hex(hasher.sha256(canonical));
    const Digest key = derive_signing_key(hasher, with.secret, claim);
    const HexDigest signature = to_hex(hasher.hmac(key, string_to_sign(claim, view_of(hash))));
    return std::string(view_of(signature));
}

}  // namespace

std::string signature_of(TestRequest& request, const SignWith& with) {
    const BasicTime time = to_basic_time(with.time_s);
    return signature_with(request, with, claim_of(with, time));
}

void sign(TestRequest& request, const SignWith& with) {
    const BasicTime time = to_basic_time(with.time_s);
    request.change("X-Amz-Date", view_of(time));
    if (!with.token.empty()) {
        request.change("X-Amz-Security-Token", with.token);
    }
    const std::string signature = signature_of(request, with);
    request.change(
        "Authorization",
        fmt::format(
            "AWS4-HMAC-SHA256 Credential={}/{}/{}/{}/aws4_request, SignedHeaders={}, Signature={}",
            with.key_id,
            view_of(time).substr(0, 8),
            with.region,
            with.service,
            with.signed_headers,
            signature
        )
    );
}

void presign(TestRequest& request, const SignWith& with, std::int64_t lifetime_s) {
    const BasicTime time = to_basic_time(with.time_s);
    const std::string query = fmt::format(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}%2F{}%2F{}%2Faws4_request&"
        "X-Amz-Date={}&X-Amz-Expires={}&X-Amz-SignedHeaders={}",
        with.key_id,
        view_of(time).substr(0, 8),
        with.region,
        with.service,
        view_of(time),
        lifetime_s,
        with.signed_headers
    );
    request.set_query(query);
    Signature claim = claim_of(with, time);
    claim.is_presigned = true;
    request.set_query(
        fmt::format("{}&X-Amz-Signature={}", query, signature_with(request, with, claim))
    );
}

registry::SecretBox test_box(std::uint8_t fill) {
    registry::SecretBox::Key key;
    key.fill(fill);
    return registry::SecretBox(key);
}

AccessKey test_key(std::string_view id, Grant grant) {
    AccessKey key;
    key.id = id;
    key.secret = kSecret;
    key.user = "tester";
    key.account = kAccount;
    key.arn = fmt::format("arn:aws:iam::{}:user/tester", kAccount);
    key.grant = std::make_shared<const Grant>(std::move(grant));
    key.created_s = kNow_s;
    return key;
}

TempDir::TempDir() {
    std::string pattern = "/tmp/hako-auth-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
}

TempDir::~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
}

std::string TempDir::path(std::string_view name) const {
    return fmt::format("{}/{}", path_, name);
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace hako::gateway::auth
