#include <array>
#include <string>
#include <vector>

#include "engine/base/ensure.h"
#include "engine/gateway/auth/canonical.h"
#include "engine/gateway/auth/signature.h"
#include "engine/gateway/auth/verifier.h"
#include "tests/fuzz/fuzz.h"

// Signed requests as strangers send them: a method, a target, then headers as pairs of texts. The
// Authorization header and the query are where the parsing is. Nothing that was made up may pass,
// and a canonical request stays in proportion to what it is made from.

namespace {

using namespace hako;
using namespace hako::gateway;
namespace fuzz = hako::fuzz;

constexpr std::int64_t kNow_s = 1'440'938'160;
constexpr std::size_t kHeadersMax = 32;

/// Header values without the bytes that no codec lets through.
std::string clean(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c != '\r' && c != '\n' && c != '\0') {
            out += c;
        }
    }
    return out;
}

struct Checker {
    Checker()
        : keys(registry::SecretBox(registry::SecretBox::Key{}), ""),
          sessions(registry::SecretBox(registry::SecretBox::Key{}), auth::Rights::all()),
          verifier(keys, sessions, {}, [](std::string_view) { return auth::Digest{}; }) {
        auth::AccessKey key;
        key.id = "AKID";
        key.secret = "a secret nobody guesses";
        key.grant = std::make_shared<const auth::Grant>();
        keys.put(key);
    }
    auth::KeyStore keys;
    auth::SessionTokens sessions;
    auth::Verifier verifier;
    auth::Canonicalizer canonicalizer;
};

void check_signature(Checker& checker, const http::Request& request, std::size_t input_bytes) {
    const auto read = auth::read_signature(request);
    if (!read) {
        ENSURE(read.error().status == 403, "a malformed signature is refused");
        return;
    }
    if (!*read) {
        return;
    }
    const auth::Signature& signature = **read;
    for (const std::string_view part :
         {signature.key_id,
          signature.date,
          signature.region,
          signature.service,
          signature.terminator,
          signature.signed_headers,
          signature.signature,
          signature.token}) {
        fuzz::touch(part);
    }
    ENSURE(auth::has_signed_header(signature, "host"), "the host is always signed");
    const std::string_view canonical = checker.canonicalizer.write(request, signature, "HASH");
    ENSURE(canonical.size() <= 8 * input_bytes + 512, "each byte is written once, escaped at most");
    ENSURE(!checker.verifier.verify(request, signature, kNow_s), "nobody guesses a signature");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static Checker checker;
    fuzz::Input input(data, bytes);
    const std::string method = clean(input.take_text());
    const std::string target = clean(input.take_bytes(input.take<std::uint16_t>() % 2048));
    std::vector<std::string> texts;
    texts.reserve(2 * kHeadersMax);
    while (!input.empty() && texts.size() < 2 * kHeadersMax) {
        texts.push_back(clean(input.take_text()));
    }
    std::vector<http::Header> headers;
    for (std::size_t at = 0; at + 1 < texts.size(); at += 2) {
        headers.push_back({.name = texts[at], .value = texts[at + 1]});
    }
    http::Request request;
    request.method = method;
    request.target = target;
    request.path = std::string_view(target).substr(0, target.find('?'));
    request.query = target.contains('?') ? std::string_view(target).substr(target.find('?') + 1)
                                         : std::string_view();
    request.headers = headers;
    check_signature(checker, request, bytes);
    return 0;
}
