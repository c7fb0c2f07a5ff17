#include "engine/gateway/auth/canonical.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <fmt/format.h>

#include "engine/gateway/auth/text.h"

namespace hako::gateway::auth {

namespace {

// Headers that change what an invocation means.
constexpr std::array<std::string_view, 3> kMustBeSigned = {
    "x-amz-invocation-type", "x-amz-log-type", "x-amz-client-context"
};

// What is kept for the next request; more belongs to one that was unusually long.
constexpr std::size_t kKeepBytes = 64UL * 1024;

void append_encoded(std::string& into, std::string_view text) {
    for (const char c : text) {
        if (is_unreserved(c)) {
            into += c;
        } else {
            append_percent(into, c);
        }
    }
}

void append_lower(std::string& into, std::string_view name) {
    for (const char c : name) {
        into += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    }
}

bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/// Without blanks at the ends, and with one space for each run of them inside.
void append_trimmed(std::string& into, std::string_view value) {
    bool gap = false;
    const std::size_t start_bytes = into.size();
    for (const char c : value) {
        if (is_blank(c)) {
            gap = into.size() > start_bytes;
            continue;
        }
        if (gap) {
            into += ' ';
            gap = false;
        }
        into += c;
    }
}

}  // namespace

std::string_view Canonicalizer::write(
    const http::Request& request, const Signature& signature, std::string_view payload_hash
) {
    if (text_.capacity() > kKeepBytes) {
        text_ = {};
        query_ = {};
        parameters_ = {};
    }
    text_.clear();
    text_ += request.method;
    text_ += '\n';
    add_path(request.path);
    text_ += '\n';
    add_query(request.query, signature.is_presigned);
    text_ += '\n';
    add_headers(request, signature.signed_headers);
    text_ += '\n';
    text_ += signature.signed_headers;
    text_ += '\n';
    text_ += payload_hash;
    return text_;
}

void Canonicalizer::add_path(std::string_view path) {
    const std::size_t start_bytes = text_.size();
    const bool ends_in_slash = path.ends_with('/');
    text_ += '/';
    while (!path.empty()) {
        const std::string_view segment = take_until(path, '/');
        if (segment.empty() || segment == ".") {
            continue;
        }
        if (segment == "..") {  // lets go of the segment before, down to its slash
            const std::size_t last = text_.rfind('/', text_.size() - 2);
            text_.resize(text_.size() > start_bytes + 1 ? last + 1 : start_bytes + 1);
            continue;
        }
        append_encoded(text_, segment);
        text_ += '/';
    }
    if (!ends_in_slash && text_.size() > start_bytes + 1) {
        text_.pop_back();
    }
}

void Canonicalizer::add_query(std::string_view query, bool is_presigned) {
    if (query.empty()) {
        return;
    }
    query_.clear();
    parameters_.clear();
    const auto add_part = [this](std::string_view part) {
        while (!part.empty()) {
            const char byte = take_query_byte(part);
            if (is_unreserved(byte)) {
                query_ += byte;
            } else {
                append_percent(query_, byte);
            }
        }
    };
    while (!query.empty()) {
        std::string_view value = take_until(query, '&');
        const std::string_view key = take_until(value, '=');
        if ((key.empty() && value.empty()) || (is_presigned && key == "X-Amz-Signature")) {
            continue;
        }
        Parameter parameter;
        parameter.begin = static_cast<std::uint32_t>(query_.size());
        add_part(key);
        parameter.key_end = static_cast<std::uint32_t>(query_.size());
        add_part(value);
        parameter.end = static_cast<std::uint32_t>(query_.size());
        parameters_.push_back(parameter);
    }
    const std::string_view all = query_;
    const auto key_of = [all](const Parameter& p) {
        return all.substr(p.begin, p.key_end - p.begin);
    };
    const auto value_of = [all](const Parameter& p) {
        return all.substr(p.key_end, p.end - p.key_end);
    };
    std::ranges::sort(parameters_, [&](const Parameter& a, const Parameter& b) {
        const int order = key_of(a).compare(key_of(b));
        return order != 0 ? order < 0 : value_of(a) < value_of(b);
    });
    bool is_first = true;
    for (const Parameter& parameter : parameters_) {
        if (!is_first) {
            text_ += '&';
        }
        is_first = false;
        text_ += key_of(parameter);
        text_ += '=';
        text_ += value_of(parameter);
    }
}

void Canonicalizer::add_headers(const http::Request& request, std::string_view signed_headers) {
    while (!signed_headers.empty()) {
        const std::string_view name = take_until(signed_headers, ';');
        bool is_first = true;
        for (const http::Header& header : request.headers) {
            if (!same_name(header.name, name)) {
                continue;
            }
            if (is_first) {
                append_lower(text_, name);
            }
            text_ += is_first ? ':' : ',';
            is_first = false;
            append_trimmed(text_, header.value);
        }
        if (!is_first) {
            text_ += '\n';
        }
    }
}

std::string string_to_sign(const Signature& signature, std::string_view canonical_hash) {
    return fmt::format(
        "AWS4-HMAC-SHA256\n{}\n{}/{}/{}/{}\n{}",
        view_of(signature.time()),
        signature.date,
        signature.region,
        signature.service,
        signature.terminator,
        canonical_hash
    );
}

std::string_view unsigned_header(
    const http::Request& request, const Signature& signature
) noexcept {
    for (const http::Header& header : request.headers) {
        for (const std::string_view name : kMustBeSigned) {
            if (same_name(header.name, name) && !has_signed_header(signature, name)) {
                return name;
            }
        }
    }
    return {};
}

}  // namespace hako::gateway::auth
