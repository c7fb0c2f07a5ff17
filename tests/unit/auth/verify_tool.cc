#include <charconv>
#include <iostream>
#include <string>

#include <fmt/format.h>
#include <simdjson.h>

#include "engine/registry/digest.h"
#include "tests/unit/auth/fixture.h"

// Checks requests that another signer made (botocore_test.py): one JSON object a line, one answer a
// line, `ok ARN` or `CODE MESSAGE`.
namespace hako::gateway::auth {
namespace {

std::string text_at(simdjson::dom::element object, std::string_view name) {
    std::string_view text;
    return object[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

std::string bytes_at(simdjson::dom::element object, std::string_view name) {
    const auto bytes = registry::from_base64(text_at(object, name));
    return bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size())
                 : std::string();
}

std::string check(Verifier& verifier, simdjson::dom::element line) {
    TestRequest request(text_at(line, "method"), bytes_at(line, "target"));
    simdjson::dom::array headers;
    if (line["headers"].get(headers) == simdjson::SUCCESS) {
        for (const simdjson::dom::element header : headers) {
            request.header(bytes_at(header, "name"), bytes_at(header, "value"));
        }
    }
    request.body(bytes_at(line, "body"));
    std::int64_t now_s = 0;
    if (line["now"].get(now_s) != simdjson::SUCCESS) {
        return "no time";
    }
    const auto read = read_signature(request.get());
    if (!read) {
        return fmt::format("{} {:?}", read.error().code, read.error().message);
    }
    if (!*read) {
        return "unsigned";
    }
    const auto caller = verifier.verify(request.get(), **read, now_s);
    return caller ? fmt::format("ok {}", caller->arn)
                  : fmt::format("{} {:?}", caller.error().code, caller.error().message);
}

/// `verify_tool KEY_ID SECRET`; with `SESSION SECONDS` it first prints credentials for that time.
int run(int argc, char** argv) {
    KeyStore keys(test_box(), "");
    SessionTokens sessions(test_box(), Rights(Right::kInvoke));
    AccessKey key = test_key(argc > 1 ? argv[1] : "");
    key.secret = argc > 2 ? argv[2] : "";
    keys.put(key);
    const auto session =
        sessions.issue({"arn:aws:iam::123456789012:role/r", "echo"}, 1LL << 40U, 0);
    std::cout << session.key_id << ' ' << session.secret << ' ' << session.token << '\n';
    Verifier verifier(keys, sessions, {}, [](std::string_view body) {
        return registry::sha256(std::as_bytes(std::span(body.data(), body.size())));
    });
    simdjson::dom::parser parser;
    for (std::string line; std::getline(std::cin, line);) {
        simdjson::dom::element parsed;
        if (parser.parse(line).get(parsed) != simdjson::SUCCESS) {
            return 1;
        }
        std::cout << check(verifier, parsed) << '\n';
    }
    return 0;
}

}  // namespace
}  // namespace hako::gateway::auth

int main(int argc, char** argv) {
    return hako::gateway::auth::run(argc, argv);
}
