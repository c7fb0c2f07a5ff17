#include "engine/gateway/url/call.h"

#include <utility>
#include <vector>

#include "engine/gateway/url/cors.h"

namespace hako::gateway::url {

namespace {

/// Adds what hako says besides the function; views of `answer` and `request`.
std::vector<http::Header> complete(
    const http::Request& request, const CallRules& rules, Answer& answer
) {
    if (rules.cors != nullptr) {
        apply_cors(*rules.cors, request, answer);
    }
    std::vector<http::Header> headers;
    headers.reserve(answer.headers.size() + 1);
    answer.view_headers(headers);
    if (rules.form != AnswerForm::kFunctionUrl) {
        headers.push_back({.name = "apigw-requestid", .value = request.request_id});
    }
    return headers;
}

}  // namespace

void send_answer(
    const http::Request& request, const CallRules& rules, Answer answer, http::ResponseWriter& out
) {
    const std::vector<http::Header> headers = complete(request, rules, answer);
    out.send(
        {.status = answer.status, .content_type = answer.content_type, .headers = headers},
        answer.content()
    );
}

UrlCall::UrlCall(
    const http::Request& request,
    const CallRules& rules,
    AnswerReader& reader,
    http::ResponseWriter& out
)
    : request_(request), rules_(rules), reader_(reader), out_(out) {}

void UrlCall::payload_taken() {
    event_.shrink(0);
}

Result<void> UrlCall::begin(Answer& answer) {
    const std::vector<http::Header> headers = complete(request_, rules_, answer);
    is_begun_ = true;
    return out_.begin(
        {.status = answer.status, .content_type = answer.content_type, .headers = headers}
    );
}

Result<void> UrlCall::on_begin(const instance::StreamHead& head) {
    if (head.content_type == kPreludeType) {
        prelude_.emplace(reader_);
        return {};
    }
    Answer answer;
    answer.content_type =
        head.content_type.empty() ? "application/octet-stream" : std::string(head.content_type);
    return begin(answer);
}

Result<void> UrlCall::on_part(std::string_view part) {
    if (!prelude_) {
        return out_.write(part);
    }
    switch (prelude_->feed(part)) {
        case PreludeReader::State::kReading:
            return {};
        case PreludeReader::State::kBroken:
            return fail(Errc::kInvalid, "read the prelude of a streamed answer");
        case PreludeReader::State::kDone:
            break;
    }
    if (!is_begun_) {
        TRY(begin(prelude_->answer()));
    }
    return out_.write(prelude_->rest());
}

void UrlCall::reply(const instance::InvokeReply& reply) {
    if (reply.streamed) {
        end_stream(reply);
        return;
    }
    if (reply.status == 429) {
        send_answer(request_, rules_, throttle_answer(rules_.form, reply.payload), out_);
    } else if (reply.status == 413) {
        send_answer(
            request_, rules_, too_large_answer(rules_.form, rules_.payload_bytes_max), out_
        );
    } else if (reply.status >= 400 || reply.function_error) {
        send_answer(request_, rules_, malformed_answer(rules_.form), out_);
    } else {
        send_answer(request_, rules_, reader_.read(reply.payload, rules_.form), out_);
    }
}

void UrlCall::end_stream(const instance::InvokeReply& reply) {
    if (!is_begun_) {
        send_answer(request_, rules_, malformed_answer(rules_.form), out_);
        return;
    }
    is_whole_ = !reply.function_error && reply.status < 400;
    if (!is_whole_) {
        out_.abort();
    }
}

void UrlCall::finish() {
    if (is_whole_) {
        (void)out_.finish();  // a client that has gone misses nothing
    }
}

}  // namespace hako::gateway::url
