#include "engine/gateway/url/event.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <vector>

#include <fmt/format.h>
#include <simdjson.h>

#include "engine/gateway/url/json_bytes.h"
#include "engine/gateway/url/text.h"

namespace hako::gateway::url {

namespace {

using http::Header;
using http::Request;
using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t kNominatedMax = 16;  // names in Connection headers that are looked at

bool is_version_2(EventForm form) {
    return form == EventForm::kFunctionUrl || form == EventForm::kHttpApi2;
}

/// The parts of the request that the members are made of.
struct Source {
    Source(const Request& request_, const EventInput& input_);

    void take_headers();

    const Request& request;
    const EventInput& input;
    std::string trace_id;
    std::vector<Header> headers;  // sorted by name; of one name in order of arrival
    std::vector<std::string_view> cookies;
    Pairs query;  // sorted by name; of one name in order of arrival
};

bool comes_before(const Header& left, const Header& right) {
    return std::ranges::lexicographical_compare(
        left.name, right.name, {}, lower_letter, lower_letter
    );
}

std::vector<std::string_view> nominated_names(std::span<const Header> headers) {
    std::vector<std::string_view> names;
    for (const Header& header : headers) {
        if (!http::is_same_word(header.name, "connection")) {
            continue;
        }
        for (std::string_view rest = header.value; !rest.empty() && names.size() < kNominatedMax;) {
            names.push_back(trimmed(take_until(rest, ',')));
        }
    }
    return names;
}

void split_cookies(std::string_view value, std::vector<std::string_view>& cookies) {
    while (!value.empty()) {
        if (const std::string_view cookie = trimmed(take_until(value, ';')); !cookie.empty()) {
            cookies.push_back(cookie);
        }
    }
}

/// `Root=1-5e6b...-...`: made of the time and the request id, which is in the answer, too.
std::string new_trace_id(const Request& request, std::int64_t wall_us) {
    std::string id = fmt::format("Root=1-{:08x}-", wall_us / 1'000'000);
    std::string digits;
    std::ranges::remove_copy(request.request_id, std::back_inserter(digits), '-');
    id += digits.substr(0, 24);
    return id;
}

Source::Source(const Request& request_, const EventInput& input_)
    : request(request_), input(input_) {
    take_headers();
    query = query_pairs(request.query);
    std::ranges::stable_sort(query, {}, &Pairs::value_type::first);
}

// The headers that proxies write are ours to say: what a stranger wrote into them is gone.
void Source::take_headers() {
    const std::vector<std::string_view> nominated = nominated_names(request.headers);
    headers.reserve(request.headers.size() + 5);
    bool is_traced = false;
    for (const Header& header : request.headers) {
        const auto is_named = [&header](std::string_view name) {
            return http::is_same_word(header.name, name);
        };
        if (is_version_2(input.form) && is_named("cookie")) {
            split_cookies(header.value, cookies);
            continue;
        }
        const bool is_ours = is_named("x-forwarded-for") || is_named("x-forwarded-proto") ||
                             is_named("x-forwarded-port") || is_named("x-forwarded-prefix") ||
                             (input.hides_authorization && is_named("authorization"));
        if (is_ours || is_hop_by_hop(header.name) || std::ranges::any_of(nominated, is_named)) {
            continue;
        }
        is_traced = is_traced || is_named("x-amzn-trace-id");
        headers.push_back(header);
    }
    if (!is_traced) {
        trace_id = new_trace_id(request, input.wall_us);
    }
    const std::array<Header, 5> added = {
        Header{.name = "X-Forwarded-For", .value = input.forwarded_for},
        Header{.name = "X-Forwarded-Proto", .value = input.forwarded_proto},
        Header{.name = "X-Forwarded-Port", .value = input.forwarded_port},
        Header{.name = "X-Forwarded-Prefix", .value = input.forwarded_prefix},
        Header{.name = "X-Amzn-Trace-Id", .value = trace_id},
    };
    std::ranges::copy_if(added, std::back_inserter(headers), [](const Header& header) {
        return !header.value.empty();
    });
    std::ranges::stable_sort(headers, comes_before);
}

/// Calls `each(first, last)` for the entries of each name; `entries` are sorted by it.
template <typename Entries, typename Same, typename Each>
void for_each_name(const Entries& entries, Same same, Each each) {
    for (auto first = entries.begin(); first != entries.end();) {
        auto last = std::next(first);
        while (last != entries.end() && same(*first, *last)) {
            ++last;
        }
        each(first, last);
        first = last;
    }
}

bool same_header(const Header& left, const Header& right) {
    return http::is_same_word(left.name, right.name);
}

bool same_key(const Pairs::value_type& left, const Pairs::value_type& right) {
    return left.first == right.first;
}

/// {"accept":"a,b"}: names in lower case, values of one name joined.
void write_joined_headers(JsonBytes& json, const std::vector<Header>& headers) {
    json.key("headers").open_object();
    for_each_name(headers, same_header, [&json](auto first, auto last) {
        json.open_string().lower_part(first->name).close_key().open_string();
        for (auto at = first; at != last; ++at) {
            json.part(at == first ? "" : ",").part(at->value);
        }
        json.close_string();
    });
    json.close_object();
}

/// The last value of each name, or all of them in arrays.
void write_headers(JsonBytes& json, const std::vector<Header>& headers, bool multi) {
    json.key(multi ? "multiValueHeaders" : "headers").open_object();
    for_each_name(headers, same_header, [&json, multi](auto first, auto last) {
        json.text_key(first->name);
        if (!multi) {
            json.value(std::prev(last)->value);
            return;
        }
        json.open_array();
        for (auto at = first; at != last; ++at) {
            json.value(at->value);
        }
        json.close_array();
    });
    json.close_object();
}

void write_query(JsonBytes& json, const Pairs& query, bool multi) {
    json.key(multi ? "multiValueQueryStringParameters" : "queryStringParameters");
    if (query.empty()) {
        json.null();
        return;
    }
    json.open_object();
    for_each_name(query, same_key, [&json, multi](auto first, auto last) {
        json.text_key(first->first);
        if (!multi) {
            json.value(std::prev(last)->second);
            return;
        }
        json.open_array();
        for (auto at = first; at != last; ++at) {
            json.value(at->second);
        }
        json.close_array();
    });
    json.close_object();
}

void write_joined_query(JsonBytes& json, const Pairs& query) {
    if (query.empty()) {
        return;
    }
    json.key("queryStringParameters").open_object();
    for_each_name(query, same_key, [&json](auto first, auto last) {
        json.text_key(first->first).open_string();
        for (auto at = first; at != last; ++at) {
            json.part(at == first ? "" : ",").part(at->second);
        }
        json.close_string();
    });
    json.close_object();
}

void write_texts(JsonBytes& json, std::string_view key, NamedTexts texts) {
    json.key(key).open_object();
    for (const auto& [name, value] : texts) {
        json.text_key(name).value(value);
    }
    json.close_object();
}

void write_texts_or_null(JsonBytes& json, std::string_view key, NamedTexts texts) {
    if (texts.empty()) {
        json.key(key).null();
    } else {
        write_texts(json, key, texts);
    }
}

/// REST APIs have no list of text types: what is UTF-8 is text there.
bool is_text_body(const Source& source) {
    const std::string_view body = source.request.body;
    const bool may_be_text = source.input.form == EventForm::kRestApi ||
                             is_text_type(source.request.header("content-type"));
    return may_be_text && simdjson::validate_utf8(body.data(), body.size());
}

/// Without a body version 2.0 leaves the member out, 1.0 has null.
void write_body(JsonBytes& json, const Source& source) {
    const std::string_view body = source.request.body;
    const bool is_text = body.empty() || is_text_body(source);
    if (body.empty()) {
        if (!is_version_2(source.input.form)) {
            json.key("body").null();
        }
    } else if (is_text) {
        json.member("body", body);
    } else {
        json.key("body").base64(body);
    }
    json.key("isBase64Encoded").boolean(!is_text);
}

/// The path as this form gives it: with the stage if the client wrote it, decoded by HTTP APIs.
std::string shown_path(const EventInput& input, bool with_stage) {
    std::string path;
    if (with_stage && input.stage_is_in_path) {
        path = fmt::format("/{}", input.stage);
    }
    const bool decodes = input.form == EventForm::kHttpApi1 || input.form == EventForm::kHttpApi2;
    path += decodes ? percent_decoded(input.path, false) : std::string(input.path);
    return path;
}

std::string_view domain_prefix(std::string_view domain) {
    return domain.substr(0, domain.find('.'));
}

void write_signer(JsonBytes& json, const EventSigner& signer) {
    // npos + 1 is 0: an ARN without a slash is the user's name as a whole.
    const std::string_view user = signer.arn.substr(signer.arn.rfind('/') + 1);
    json.key("authorizer").open_object().key("iam").open_object();
    json.member("accessKey", signer.access_key)
        .member("accountId", signer.account)
        .member("callerId", user)
        .key("cognitoIdentity")
        .null()
        .key("principalOrgId")
        .null()
        .member("userArn", signer.arn)
        .member("userId", user);
    json.close_object().close_object();
}

void write_context_2(JsonBytes& json, const Source& source, std::string_view path) {
    const EventInput& input = source.input;
    json.key("requestContext").open_object();
    json.member("accountId", input.account).member("apiId", input.api_id);
    if (input.signer != nullptr) {
        write_signer(json, *input.signer);
    }
    json.member("domainName", input.domain).member("domainPrefix", domain_prefix(input.domain));
    json.key("http")
        .open_object()
        .member("method", source.request.method)
        .member("path", path)
        .member("protocol", "HTTP/1.1")
        .member("sourceIp", input.source_ip)
        .member("userAgent", source.request.header("user-agent"))
        .close_object();
    json.member("requestId", source.request.request_id)
        .member("routeKey", input.route_key)
        .member("stage", input.stage)
        .member("time", event_time(input.wall_us))
        .key("timeEpoch")
        .number(input.wall_us / 1'000);
    json.close_object();
}

void write_version_2(JsonBytes& json, const Source& source) {
    const EventInput& input = source.input;
    const std::string path = shown_path(input, true);
    json.open_object()
        .member("version", "2.0")
        .member("routeKey", input.route_key)
        .member("rawPath", path)
        .member("rawQueryString", source.request.query);
    if (!source.cookies.empty()) {
        json.key("cookies").open_array();
        for (const std::string_view cookie : source.cookies) {
            json.value(cookie);
        }
        json.close_array();
    }
    write_joined_headers(json, source.headers);
    write_joined_query(json, source.query);
    write_context_2(json, source, path);
    if (!input.path_parameters.empty()) {
        write_texts(json, "pathParameters", input.path_parameters);
    }
    if (!input.stage_variables.empty()) {
        write_texts(json, "stageVariables", input.stage_variables);
    }
    write_body(json, source);
    json.close_object();
}

void write_identity(JsonBytes& json, const Source& source) {
    constexpr std::array<std::string_view, 9> kNobody = {
        "accessKey",
        "accountId",
        "caller",
        "cognitoAuthenticationProvider",
        "cognitoAuthenticationType",
        "cognitoIdentityId",
        "cognitoIdentityPoolId",
        "principalOrgId",
        "user",
    };
    json.key("identity").open_object();
    for (const std::string_view member : kNobody) {
        json.key(member).null();
    }
    json.member("sourceIp", source.input.source_ip)
        .member("userAgent", source.request.header("user-agent"))
        .key("userArn")
        .null()
        .close_object();
}

void write_context_1(JsonBytes& json, const Source& source) {
    const EventInput& input = source.input;
    json.key("requestContext")
        .open_object()
        .member("accountId", input.account)
        .member("apiId", input.api_id)
        .member("domainName", input.domain)
        .member("domainPrefix", domain_prefix(input.domain))
        .member("extendedRequestId", source.request.request_id)
        .member("httpMethod", source.request.method);
    write_identity(json, source);
    json.member("path", shown_path(input, true))
        .member("protocol", "HTTP/1.1")
        .member("requestId", source.request.request_id)
        .member("requestTime", event_time(input.wall_us))
        .key("requestTimeEpoch")
        .number(input.wall_us / 1'000);
    if (input.form == EventForm::kRestApi) {
        // AWS gives random ids to resources; the template itself serves those who compare them.
        json.member("resourceId", input.resource);
    } else {
        json.key("resourceId").null();
    }
    json.member("resourcePath", input.resource).member("stage", input.stage).close_object();
}

void write_version_1(JsonBytes& json, const Source& source) {
    const EventInput& input = source.input;
    json.open_object();
    if (input.form == EventForm::kHttpApi1) {
        json.member("version", "1.0");
    }
    json.member("resource", input.resource)
        .member("path", shown_path(input, input.form == EventForm::kHttpApi1))
        .member("httpMethod", source.request.method);
    write_headers(json, source.headers, false);
    write_headers(json, source.headers, true);
    write_query(json, source.query, false);
    write_query(json, source.query, true);
    write_context_1(json, source);
    write_texts_or_null(json, "pathParameters", input.path_parameters);
    write_texts_or_null(json, "stageVariables", input.stage_variables);
    write_body(json, source);
    json.close_object();
}

}  // namespace

bool is_hop_by_hop(std::string_view name) {
    constexpr std::array<std::string_view, 10> kNames = {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    };
    return std::ranges::any_of(kNames, [name](std::string_view other) {
        return http::is_same_word(name, other);
    });
}

bool is_text_type(std::string_view content_type) {
    const std::string type = lower_case(trimmed(content_type.substr(0, content_type.find(';'))));
    constexpr std::array<std::string_view, 3> kTypes = {
        "application/json", "application/javascript", "application/xml"
    };
    return type.starts_with("text/") || type.ends_with("+json") || type.ends_with("+xml") ||
           std::ranges::find(kTypes, type) != kTypes.end();
}

std::string event_time(std::int64_t wall_us) {
    constexpr std::array<std::string_view, 12> kMonths = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
    };
    const std::time_t seconds = wall_us / 1'000'000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    return fmt::format(
        "{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000",
        parts.tm_mday,
        kMonths[static_cast<std::size_t>(parts.tm_mon)],
        parts.tm_year + 1900,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec
    );
}

void write_event(const http::Request& request, const EventInput& input, ByteBuffer& out) {
    const Source source(request, input);
    JsonBytes json(out);
    if (is_version_2(input.form)) {
        write_version_2(json, source);
    } else {
        write_version_1(json, source);
    }
}

}  // namespace hako::gateway::url
