#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/gateway/auth/key_store.h"
#include "engine/gateway/auth/session.h"
#include "engine/gateway/auth/verifier.h"
#include "engine/registry/control_service.h"

namespace hako::gateway::auth {

inline constexpr std::int64_t kNow_s = 1'440'938'160;  // 20150830T123600Z
inline constexpr std::string_view kSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
inline constexpr std::string_view kAccount = "123456789012";

/// A request that owns its text.
class TestRequest {
public:
    TestRequest(std::string_view method, std::string_view target);

    TestRequest& header(std::string_view name, std::string_view value);
    /// Replaces the first header of that name.
    TestRequest& change(std::string_view name, std::string_view value);
    TestRequest& drop(std::string_view name);
    TestRequest& body(std::string_view body);
    [[nodiscard]] std::string text_of(std::string_view name) const;
    void set_query(std::string_view query);
    [[nodiscard]] const http::Request& get();

    http::Peer peer;

private:
    std::string method_;
    std::string target_;
    std::string body_;
    std::vector<std::pair<std::string, std::string>> owned_;
    std::vector<http::Header> headers_;
    http::Request request_;
};

struct SignWith {
    std::string key_id = "AKIDEXAMPLE";
    std::string secret = std::string(kSecret);
    std::string region = "us-east-1";
    std::string service = "lambda";
    std::string token;
    std::string signed_headers = "host;x-amz-date";
    std::int64_t time_s = kNow_s;
};

/// Adds X-Amz-Date and Authorization, with the library's own canonical form: what checks that form
/// is the published vectors and botocore.
void sign(TestRequest& request, const SignWith& with);
/// The same in the query.
void presign(TestRequest& request, const SignWith& with, std::int64_t lifetime_s);
/// The signature alone of a request that has its headers.
[[nodiscard]] std::string signature_of(TestRequest& request, const SignWith& with);

/// Runs what blocks at once.
struct DirectRunner final : registry::BlockingRunner {
    void run(std::move_only_function<void()>&& work) override {
        ++runs_count;
        work();
    }
    int runs_count = 0;
};

[[nodiscard]] registry::SecretBox test_box(std::uint8_t fill = 7);

/// A key of the store; rights to everything unless said otherwise.
[[nodiscard]] AccessKey test_key(
    std::string_view id = "AKIDEXAMPLE", Grant grant = {.rights = Rights::all()}
);

class TempDir {
public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    [[nodiscard]] std::string path(std::string_view name) const;

private:
    std::string path_;
};

[[nodiscard]] std::string read_file(const std::string& path);

}  // namespace hako::gateway::auth
