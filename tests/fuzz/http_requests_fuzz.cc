#include <string>
#include <vector>

#include "engine/base/ensure.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/gateway/http_script.h"

// The HTTP codec between socket and router: any bytes in any pieces become requests or a refusal,
// the same whichever way they are cut. The input: a byte that says how large the pieces are, a byte
// for the limit of bodies, then what the client sends.

namespace {

using namespace hako;
using namespace hako::gateway::http;

std::vector<std::string_view> cut(std::string_view bytes, std::size_t piece_bytes) {
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < bytes.size(); at += piece_bytes) {
        pieces.push_back(bytes.substr(at, piece_bytes));
    }
    return pieces;
}

constexpr std::uint64_t kBodyBytesMax = 1U << 20U;
constexpr std::string_view kMore = "more";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static RequestReader reader{HeadLimits{.line_bytes_max = 1024, .bytes_max = 2048}};
    fuzz::Input input(data, bytes);
    const std::size_t piece_bytes = std::size_t{input.take<std::uint8_t>()} + 1;
    const std::uint64_t body_bytes_max = std::uint64_t{input.take<std::uint8_t>()} * 64;
    const std::string_view sent = input.rest();

    const std::string whole = script_of(reader, {sent}, kBodyBytesMax);
    std::string pieces = script_of(reader, cut(sent, piece_bytes), kBodyBytesMax);
    if (pieces.ends_with(kMore)) {
        // The last bytes may be too few to be looked at; in one piece they had company.
        pieces.resize(pieces.size() - kMore.size());
        ENSURE(whole.starts_with(pieces), "a cut between two bytes takes nothing away");
    } else {
        ENSURE(whole == pieces, "a cut between two bytes changes nothing");
    }
    const std::string bounded = script_of(reader, cut(sent, piece_bytes), body_bytes_max);
    fuzz::touch(bounded);
    return 0;
}
