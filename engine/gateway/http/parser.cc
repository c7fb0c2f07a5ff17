#include "engine/gateway/http/parser.h"

#include <algorithm>
#include <charconv>

#include <boost/beast/http/basic_parser.hpp>

#include "engine/base/ensure.h"

// The only file that sees Boost.Beast: its headers take seconds to compile.
namespace hako::gateway::http {
namespace {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using BeastView = beast::string_view;
using BeastError = beast::error_code;

std::string_view view(BeastView text) {
    return {text.data(), text.size()};
}

const char* text_of(const BeastError& error) {
    if (error == bhttp::error::bad_method) {
        return "The method is malformed.";
    }
    if (error == bhttp::error::bad_target) {
        return "The request target is malformed.";
    }
    if (error == bhttp::error::bad_field) {
        return "A header name is malformed.";
    }
    if (error == bhttp::error::bad_value) {
        return "A header value is malformed.";
    }
    if (error == bhttp::error::bad_chunk || error == bhttp::error::bad_chunk_extension) {
        return "The chunked body is malformed.";
    }
    if (error == bhttp::error::bad_transfer_encoding) {
        return "Transfer-Encoding is malformed, or Content-Length stands beside it.";
    }
    if (error == bhttp::error::bad_content_length ||
        error == bhttp::error::multiple_content_length) {
        return "Content-Length is malformed, or stands twice or beside Transfer-Encoding.";
    }
    return "The request is malformed.";
}

Fault fault_of(const BeastError& error) {
    if (error == bhttp::error::bad_version) {
        return {.status = 505, .text = "Only HTTP/1.0 and HTTP/1.1 are spoken here."};
    }
    return {.text = text_of(error)};
}

// `0 CR LF CR LF`: what a chunked body has left at least, whatever of it has been read. Beast
// asserts that it sees so much of the last chunk at once.
constexpr std::size_t kChunksEndBytes = 5;

bool is_target_char(char c) {
    return c > ' ' && c < 0x7f && c != '#';
}

}  // namespace

/// The callbacks; they only note views and what contradicts itself.
struct RequestParser::Beast {
    class Parser final : public bhttp::basic_parser<true> {
    public:
        explicit Parser(RequestParser& owner) : owner_(owner) {
            header_limit(UINT32_MAX);  // find_head has seen to it
            body_limit(boost::none);
        }

        std::string_view method;
        std::string_view target;
        std::optional<Fault> fault;
        std::optional<std::uint64_t> length;
        std::uint32_t hosts_count = 0;
        bool has_encoding = false;
        bool head_done = false;
        bool whole = false;
        ByteBuffer* body = nullptr;
        std::uint64_t body_bytes_max = 0;

    private:
        void refuse(const Fault& why, BeastError& error) {
            fault = why;
            error = bhttp::error::bad_value;
        }
        void
        on_request_impl(bhttp::verb, BeastView name, BeastView wanted, int version, BeastError&)
            override {
            method = view(name);
            target = view(wanted);
            owner_.is_http_1_1_ = version >= 11;
        }
        void on_response_impl(int, BeastView, int, BeastError&) override {}
        void on_field_impl(bhttp::field field, BeastView name, BeastView value, BeastError& error)
            override {
            if (head_done) {
                return;  // a trailer: nothing here asks for one
            }
            if (owner_.headers_count_ == kHeadersMax) {
                refuse({.status = 431, .text = "There are too many headers."}, error);
                return;
            }
            owner_.headers_[owner_.headers_count_++] = {.name = view(name), .value = view(value)};
            on_known_field(field, view(value), error);
        }
        void on_known_field(bhttp::field field, std::string_view value, BeastError& error) {
            switch (field) {
                case bhttp::field::content_length:
                    on_length(value, error);
                    return;
                case bhttp::field::transfer_encoding:
                    // Beast reads a coding it does not know as "no body": what follows would then
                    // be the next request.
                    if (has_encoding || !owner_.is_http_1_1_) {
                        refuse({.text = "Transfer-Encoding stands twice or in HTTP/1.0."}, error);
                    } else if (!is_same_word(value, "chunked")) {
                        refuse(
                            {.status = 501, .text = "The only Transfer-Encoding is chunked."}, error
                        );
                    }
                    has_encoding = true;
                    return;
                case bhttp::field::host:
                    ++hosts_count;
                    return;
                case bhttp::field::expect:
                    if (!is_same_word(value, "100-continue")) {
                        refuse({.status = 417, .text = "Only 100-continue is expected."}, error);
                    }
                    owner_.expects_continue_ = owner_.is_http_1_1_;
                    return;
                default:
                    return;
            }
        }
        void on_length(std::string_view value, BeastError& error) {
            std::uint64_t bytes = 0;
            const auto [end, fail_code] =
                std::from_chars(value.data(), value.data() + value.size(), bytes);
            if (length || fail_code != std::errc{} || end != value.data() + value.size()) {
                refuse({.text = "Content-Length is malformed or stands twice."}, error);
                return;
            }
            length = bytes;
        }
        void on_header_impl(BeastError&) override { head_done = true; }
        void on_body_init_impl(const boost::optional<std::uint64_t>&, BeastError&) override {}
        std::size_t on_body_impl(BeastView, BeastError&) override {
            ENSURE(false, "bodies of a known length are not parsed");
            return 0;
        }
        void on_chunk_header_impl(std::uint64_t chunk_bytes, BeastView, BeastError& error)
            override {
            if (chunk_bytes > body_bytes_max - std::min(body_bytes_max, body->size_bytes())) {
                refuse({.status = 413, .text = ""}, error);
            }
        }
        std::size_t on_chunk_body_impl(std::uint64_t, BeastView bytes, BeastError&) override {
            body->append(bytes.data(), bytes.size());
            return bytes.size();
        }
        void on_finish_impl(BeastError&) override { whole = true; }

        RequestParser& owner_;
    };

    std::optional<Parser> parser;
};

RequestParser::RequestParser() : beast_(std::make_unique<Beast>()) {}
RequestParser::~RequestParser() = default;

std::optional<Fault> RequestParser::read_head(std::string_view head, Request& request) {
    headers_count_ = 0;
    content_length_ = 0;
    is_chunked_ = keeps_alive_ = expects_continue_ = is_http_1_1_ = false;
    Beast::Parser& parser = beast_->parser.emplace(*this);
    BeastError error;
    const std::size_t used_bytes = parser.put({head.data(), head.size()}, error);
    if (parser.fault) {
        return parser.fault;
    }
    if (error || !parser.head_done || used_bytes != head.size()) {
        return fault_of(error);
    }
    content_length_ = parser.length.value_or(0);
    is_chunked_ = parser.chunked();
    keeps_alive_ = parser.keep_alive();
    request.method = parser.method;
    request.target = parser.target;
    request.headers = {headers_.data(), headers_count_};
    request.body = {};
    if (parser.hosts_count > 1 || (parser.hosts_count == 0 && is_http_1_1_)) {
        return Fault{.text = "HTTP/1.1 asks for exactly one Host."};
    }
    return check_head(request);
}

std::optional<Fault> RequestParser::check_head(Request& request) const {
    const std::string_view target = request.target;
    if (!std::ranges::all_of(target, is_target_char)) {
        return Fault{.text = "The request target is malformed."};
    }
    std::string_view rest = target;
    const bool is_asterisk = target == "*" && request.method == "OPTIONS";
    if (!target.starts_with('/') && !is_asterisk) {
        // absolute-form, as to a proxy: only for ourselves
        for (const std::string_view scheme : {"http://", "https://"}) {
            if (is_same_word(target.substr(0, scheme.size()), scheme)) {
                rest.remove_prefix(scheme.size());
                const std::size_t host_bytes = std::min(rest.find_first_of("/?"), rest.size());
                if (!is_same_word(rest.substr(0, host_bytes), request.header("host"))) {
                    return Fault{.text = "Host and the request target name different hosts."};
                }
                rest.remove_prefix(host_bytes);
            }
        }
        if (rest.size() == target.size()) {
            return Fault{.text = "The request target is malformed."};
        }
    }
    const std::size_t path_bytes = std::min(rest.find('?'), rest.size());
    request.path = path_bytes == 0 ? std::string_view("/") : rest.substr(0, path_bytes);
    request.query = path_bytes < rest.size() ? rest.substr(path_bytes + 1) : std::string_view();
    return std::nullopt;
}

std::expected<RequestParser::Chunks, Fault> RequestParser::take_chunks(
    std::string_view received, ByteBuffer& body, std::uint64_t body_bytes_max
) {
    Beast::Parser& parser = *beast_->parser;
    ENSURE(is_chunked_ && !parser.whole, "a chunked body ends once");
    parser.body = &body;
    parser.body_bytes_max = body_bytes_max;
    parser.eager(true);
    Chunks chunks;
    if (received.size() < kChunksEndBytes) {
        return chunks;
    }
    BeastError error;
    chunks.taken_bytes = parser.put({received.data(), received.size()}, error);
    if (parser.fault) {
        return std::unexpected(*parser.fault);
    }
    if (error && error != bhttp::error::need_more) {
        return std::unexpected(fault_of(error));
    }
    chunks.is_whole = parser.whole;
    return chunks;
}

}  // namespace hako::gateway::http
