#include <string>
#include <vector>

#include <simdjson.h>

#include "engine/base/ensure.h"
#include "engine/gateway/url/answer.h"
#include "engine/gateway/url/cors.h"
#include "engine/gateway/url/event.h"
#include "engine/gateway/url/prelude.h"
#include "engine/gateway/url/site.h"
#include "engine/gateway/url/text.h"
#include "engine/gateway/url/trusted_proxies.h"
#include "tests/fuzz/fuzz.h"

// Function URLs and HTTP APIs, both directions. Byte 0 chooses: a request, whose event must be JSON
// that says what was sent; a result, whose answer must hold nothing that ends a line; or a streamed
// answer, which must be the same however it is cut.

namespace {

using namespace hako::gateway;
using namespace hako::gateway::url;
namespace fuzz = hako::fuzz;

constexpr std::array kEventForms = {
    EventForm::kFunctionUrl, EventForm::kHttpApi2, EventForm::kHttpApi1, EventForm::kRestApi
};
constexpr std::array kAnswerForms = {
    AnswerForm::kFunctionUrl, AnswerForm::kHttpApi2, AnswerForm::kHttpApi1, AnswerForm::kRestApi
};

/// A body that came as text stands in the event as it was sent.
void check_event(std::string_view json, const http::Request& request) {
    simdjson::dom::parser parser;
    simdjson::dom::element event;
    ENSURE(
        parser.parse(json.data(), json.size()).get(event) == simdjson::SUCCESS, "events are JSON"
    );
    bool is_base64 = false;
    ENSURE(event["isBase64Encoded"].get(is_base64) == simdjson::SUCCESS, "every event says so");
    std::string_view body;
    if (event["body"].get(body) != simdjson::SUCCESS) {
        ENSURE(request.body.empty(), "a body is handed over");
    } else if (!is_base64) {
        ENSURE(body == request.body, "text is handed over unchanged");
    } else {
        ENSURE(body.size() == (request.body.size() + 2) / 3 * 4, "base64 is padded");
    }
}

void try_request(fuzz::Input& input) {
    const std::size_t form = input.take<std::uint8_t>() % kEventForms.size();
    const std::size_t headers_count = input.take<std::uint8_t>() % 16;
    std::vector<http::Header> headers;
    for (std::size_t i = 0; i < headers_count; ++i) {
        const std::string_view name = input.take_text();
        headers.push_back({.name = name, .value = input.take_text()});
    }
    http::Request request;
    request.method = input.take_text();
    request.path = input.take_text();
    request.query = input.take_text();
    request.request_id = "0b5d9ff1-3b9c-4d52-8f2b-6f1f27d64f05";
    request.headers = headers;
    request.peer.address = "127.0.0.1";
    request.body = input.rest();

    static const TrustedProxies kProxies = TrustedProxies::parse("127.0.0.0/8").value();
    const std::string client =
        kProxies.client_address(request.peer, request.header("x-forwarded-for"));
    const hako::registry::UrlTable urls;
    const hako::registry::HttpApiTable apis;
    const Site site = Sites{.urls = urls, .apis = apis}.find(request);
    fuzz::touch(site.path);
    hako::ByteBuffer out;
    write_event(
        request,
        {
            .form = kEventForms[form],
            .domain = site.host,
            .path = site.path,
            .source_ip = client,
            .forwarded_for = request.header("x-forwarded-for"),
            .wall_us = 1'584'039'838'390'000,
        },
        out
    );
    check_event({reinterpret_cast<const char*>(out.bytes().data()), out.size_bytes()}, request);
}

void check_answer(const Answer& answer) {
    ENSURE(answer.status >= 200 && answer.status <= 599, "a final status of three digits");
    ENSURE(is_field_value(answer.content_type), "nothing ends the line");
    for (const auto& [name, value] : answer.headers) {
        ENSURE(is_token(name) && is_field_value(value), "nothing ends the line");
        ENSURE(!is_hop_by_hop(name), "the connection is the writer's");
        ENSURE(!http::is_same_word(name, "content-length"), "the length is the writer's");
    }
    ENSURE(may_have_body(answer.status) || answer.content().empty(), "these have no body");
    fuzz::touch(answer.content());
}

void try_result(fuzz::Input& input) {
    const std::size_t form = input.take<std::uint8_t>() % kAnswerForms.size();
    const std::string result(input.rest());
    AnswerReader reader;
    Answer answer = reader.read(result, kAnswerForms[form]);
    check_answer(answer);
    http::Request request;
    const std::array headers = {http::Header{.name = "Origin", .value = "https://a.example"}};
    request.headers = headers;
    apply_cors({.allow_origins = {"*"}}, request, answer);
    check_answer(answer);
}

/// State, head and body of a stream that comes in pieces of `piece_bytes`.
std::string read_stream(std::string_view stream, std::size_t piece_bytes) {
    AnswerReader reader;
    PreludeReader prelude(reader);
    auto state = PreludeReader::State::kReading;
    std::string body;
    for (; !stream.empty(); stream.remove_prefix(std::min(piece_bytes, stream.size()))) {
        state = prelude.feed(stream.substr(0, piece_bytes));
        body += prelude.rest();
    }
    if (state != PreludeReader::State::kDone) {
        return state == PreludeReader::State::kReading ? "reading" : "broken";
    }
    check_answer(prelude.answer());
    std::string text = std::to_string(prelude.answer().status) + prelude.answer().content_type;
    for (const auto& [name, value] : prelude.answer().headers) {
        text.append("|").append(name).append(value);
    }
    return text + "|" + body;
}

void try_stream(fuzz::Input& input) {
    const std::size_t piece_bytes = input.take<std::uint8_t>() + std::size_t{1};
    ENSURE(
        read_stream(input.rest(), piece_bytes) == read_stream(input.rest(), SIZE_MAX),
        "where a stream is cut does not matter"
    );
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    fuzz::Input input(data, bytes);
    switch (input.take<std::uint8_t>() % 3) {
        case 0:
            try_request(input);
            break;
        case 1:
            try_result(input);
            break;
        default:
            try_stream(input);
            break;
    }
    return 0;
}
