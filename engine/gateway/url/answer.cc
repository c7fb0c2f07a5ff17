#include "engine/gateway/url/answer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "engine/gateway/url/event.h"
#include "engine/gateway/url/text.h"
#include "engine/registry/digest.h"

namespace hako::gateway::url {

namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kParserBytesKept = 1U << 20U;
// Names in `headers` and `multiValueHeaders` and values in lists: more would only cost time.
constexpr std::size_t kHeadersMax = 512;

bool is_rest(AnswerForm form) {
    return form == AnswerForm::kRestApi;
}

bool is_version_1(AnswerForm form) {
    return form == AnswerForm::kRestApi || form == AnswerForm::kHttpApi1;
}

std::string_view default_type(AnswerForm form) {
    return form == AnswerForm::kHttpApi2 || form == AnswerForm::kHttpApi1
               ? "text/plain;charset=UTF-8"
               : "application/json";
}

Answer json_answer(std::uint32_t status, std::string body) {
    return {.status = status, .content_type = "application/json", .body = std::move(body)};
}

/// The JSON text of a value; what a string holds, if it is one.
std::string text_of(const dom::element& value) {
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) {
        return std::string(text);
    }
    return simdjson::minify(value);
}

/// The text of a scalar. Nothing for null and for what has members.
std::optional<std::string> scalar_text(const dom::element& value) {
    if (value.is_object() || value.is_array() || value.is_null()) {
        return std::nullopt;
    }
    return text_of(value);
}

/// Headers that are the writer's to say, or mean one connection only.
bool is_dropped(std::string_view name) {
    constexpr std::array<std::string_view, 3> kOurs = {
        "content-length", "date", "x-amzn-requestid"
    };
    return is_hop_by_hop(name) || std::ranges::any_of(kOurs, [name](std::string_view other) {
               return http::is_same_word(name, other);
           });
}

/// Puts an answer together; each step says whether the result can still be one.
class Builder {
public:
    Builder(AnswerForm form, Answer& answer) : form_(form), answer_(answer) {}

    [[nodiscard]] bool take(std::string_view member, const dom::element& value);
    [[nodiscard]] bool finish();

private:
    [[nodiscard]] bool set_status(const dom::element& value);
    [[nodiscard]] bool add_headers(const dom::element& value);
    [[nodiscard]] bool add_multi_headers(const dom::element& value);
    [[nodiscard]] bool add_cookies(const dom::element& value);
    [[nodiscard]] bool add(std::string_view name, std::string value);
    [[nodiscard]] bool set_body(const dom::element& value);

    AnswerForm form_;
    Answer& answer_;
    std::size_t header_bytes_ = 0;
    std::size_t headers_count_ = 0;
    bool has_type_ = false;
    bool is_base64_ = false;
};

bool Builder::take(std::string_view member, const dom::element& value) {
    if (member == "statusCode") {
        return set_status(value);
    }
    if (member == "headers") {
        return value.is_null() || add_headers(value);
    }
    if (member == "multiValueHeaders" && is_version_1(form_)) {
        return value.is_null() || add_multi_headers(value);
    }
    if (member == "cookies" && !is_version_1(form_)) {
        return value.is_null() || add_cookies(value);
    }
    if (member == "body") {
        return value.is_null() || set_body(value);
    }
    if (member == "isBase64Encoded") {
        return value.is_null() || value.get(is_base64_) == simdjson::SUCCESS;
    }
    return !is_rest(form_);
}

bool Builder::set_status(const dom::element& value) {
    std::uint64_t number = 0;
    std::string_view digits;
    if (value.get(digits) == simdjson::SUCCESS) {
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (error != std::errc{} || end != digits.data() + digits.size()) {
            return false;
        }
    } else if (value.get(number) != simdjson::SUCCESS) {
        double real = 0;  // 200.0 comes out of languages that know one kind of number
        if (value.get(real) != simdjson::SUCCESS || !(real >= 200 && real <= 599)) {
            return false;
        }
        number = static_cast<std::uint64_t>(real);
    }
    if (number < 200 || number > 599) {
        return false;
    }
    answer_.status = static_cast<std::uint32_t>(number);
    return true;
}

bool Builder::add(std::string_view name, std::string value) {
    header_bytes_ += name.size() + value.size();
    if (!is_token(name) || !is_field_value(value) || header_bytes_ > kAnswerHeaderBytesMax ||
        ++headers_count_ > kHeadersMax) {
        return false;
    }
    if (http::is_same_word(name, "content-type")) {
        answer_.content_type = std::move(value);
        has_type_ = true;
    } else if (!is_dropped(name)) {
        answer_.headers.emplace_back(name, std::move(value));
    }
    return true;
}

bool Builder::add_headers(const dom::element& value) {
    dom::object headers;
    if (value.get(headers) != simdjson::SUCCESS) {
        return false;
    }
    for (const auto [name, text] : headers) {
        if (text.is_null()) {
            continue;
        }
        auto scalar = scalar_text(text);
        if (!scalar || !add(name, *std::move(scalar))) {
            return false;
        }
    }
    return true;
}

// AWS: with the same name in both, multiValueHeaders counts; a value that stands in both is once.
bool Builder::add_multi_headers(const dom::element& value) {
    dom::object headers;
    if (value.get(headers) != simdjson::SUCCESS) {
        return false;
    }
    for (const auto [name, list] : headers) {
        dom::array texts;
        if (list.get(texts) != simdjson::SUCCESS || ++headers_count_ > kHeadersMax) {
            return false;
        }
        std::erase_if(answer_.headers, [name = name](const auto& header) {
            return http::is_same_word(header.first, name);
        });
        for (const dom::element text : texts) {
            auto scalar = scalar_text(text);
            if (!scalar || !add(name, *std::move(scalar))) {
                return false;
            }
        }
    }
    return true;
}

bool Builder::add_cookies(const dom::element& value) {
    dom::array cookies;
    if (value.get(cookies) != simdjson::SUCCESS) {
        return false;
    }
    for (const dom::element cookie : cookies) {
        std::string_view text;
        if (cookie.get(text) != simdjson::SUCCESS || !add("set-cookie", std::string(text))) {
            return false;
        }
    }
    return true;
}

bool Builder::set_body(const dom::element& value) {
    if (!value.is_string() && form_ != AnswerForm::kFunctionUrl) {
        return false;
    }
    answer_.body = text_of(value);
    return true;
}

bool Builder::finish() {
    if (!has_type_) {
        answer_.content_type = default_type(form_);
    }
    if (is_base64_) {
        auto bytes = registry::text_from_base64(answer_.body);
        if (!bytes) {
            return false;
        }
        answer_.body = *std::move(bytes);
    }
    if (!may_have_body(answer_.status)) {
        answer_.body.clear();
        answer_.content_type.clear();
    }
    return true;
}

bool build(const dom::object& object, AnswerForm form, Answer& answer) {
    Builder builder(form, answer);
    // Single-valued headers first: what the multi-valued ones replace must be there.
    for (const bool multi : {false, true}) {
        for (const auto [member, value] : object) {
            if ((member == "multiValueHeaders") == multi && !builder.take(member, value)) {
                return false;
            }
        }
    }
    return builder.finish();
}

}  // namespace

void Answer::view_headers(std::vector<http::Header>& out) const {
    for (const auto& [name, value] : headers) {
        out.push_back({.name = name, .value = value});
    }
}

bool AnswerReader::fill(std::string_view result, AnswerForm form, Answer& answer) {
    dom::element root;
    if (parser_.parse(result.data(), result.size()).get(root) != simdjson::SUCCESS) {
        return false;
    }
    dom::object object;
    const bool is_object = root.get(object) == simdjson::SUCCESS;
    if (is_version_1(form)) {
        return is_object && build(object, form, answer);
    }
    dom::element status;
    if (is_object && object["statusCode"].get(status) == simdjson::SUCCESS) {
        return build(object, form, answer);
    }
    answer.content_type = "application/json";
    if (root.is_string()) {
        answer.body = text_of(root);
    } else {
        answer.verbatim = result;
    }
    return true;
}

// A function that streams gives the same bytes to a caller that wants them whole.
bool AnswerReader::fill_from_stream(std::string_view result, Answer& answer) {
    const std::size_t mark = result.find(kPreludeMark);
    if (mark == std::string_view::npos || mark > kPreludeBytesMax ||
        !read_prelude(result.substr(0, mark), answer)) {
        return false;
    }
    if (may_have_body(answer.status)) {
        answer.verbatim = result.substr(mark + kPreludeMark.size());
    }
    return true;
}

Answer AnswerReader::read(std::string_view result, AnswerForm form) {
    Answer answer;
    bool is_answer = fill(result, form, answer);
    if (!is_answer && form == AnswerForm::kFunctionUrl) {
        answer = {};
        is_answer = fill_from_stream(result, answer);
    }
    if (parser_.capacity() > kParserBytesKept) {
        parser_ = dom::parser();
    }
    return is_answer ? answer : malformed_answer(form);
}

bool AnswerReader::read_prelude(std::string_view json, Answer& answer) {
    dom::object object;
    if (parser_.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS ||
        !build(object, AnswerForm::kFunctionUrl, answer)) {
        return false;
    }
    answer.body.clear();
    return true;
}

Answer malformed_answer(AnswerForm form) {
    switch (form) {
        case AnswerForm::kFunctionUrl:
            return json_answer(502, "Internal Server Error");
        case AnswerForm::kRestApi:
            return json_answer(502, R"({"message": "Internal server error"})");
        default:
            return json_answer(500, R"({"message":"Internal Server Error"})");
    }
}

Answer throttle_answer(AnswerForm form, std::string_view refusal) {
    return json_answer(
        429,
        form == AnswerForm::kFunctionUrl ? std::string(refusal)
                                         : R"({"message":"Too Many Requests"})"
    );
}

Answer too_large_answer(AnswerForm form, std::uint64_t bytes_max) {
    if (form != AnswerForm::kFunctionUrl) {
        return json_answer(413, R"({"message":"Request Entity Too Large"})");
    }
    return json_answer(
        413,
        fmt::format(
            R"({{"Message":"Request must be smaller than {} bytes for the InvokeFunction )"
            R"(operation"}})",
            bytes_max
        )
    );
}

}  // namespace hako::gateway::url
