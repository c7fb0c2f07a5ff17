#ifndef HAKO_CLIENT_HPP
#define HAKO_CLIENT_HPP

// C++17 face of hako/client.h, header only; link with libhako-client.
//
// Failures of the connection or of an argument throw hako::ClientError. What the engine answers,
// API errors and function errors included, is an Answer to look at: they are results, not
// surprises, and a pipelined receive must be able to give them in any order.

#include <chrono>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <hako/client.h>

namespace hako {

class ClientError : public std::runtime_error {
public:
    explicit ClientError(const hako_client_error& error)
        : std::runtime_error(error.text), code_(error.code), sys_errno_(error.sys_errno) {}
    /// One of enum hako_client_code.
    [[nodiscard]] int code() const noexcept { return code_; }
    [[nodiscard]] int sys_errno() const noexcept { return sys_errno_; }
    [[nodiscard]] bool is_timeout() const noexcept { return code_ == HAKO_CLIENT_ETIMEOUT; }

private:
    int code_;
    int sys_errno_;
};

/// One answer; its texts are views that live until the client's next receive, invoke, control or
/// ping. Copy what must stay.
class Answer {
public:
    explicit Answer(const hako_client_answer& raw) noexcept : raw_(raw) {}
    [[nodiscard]] std::uint64_t correlation() const noexcept { return raw_.correlation; }
    /// HTTP status Lambda would give.
    [[nodiscard]] std::uint32_t status() const noexcept { return raw_.status; }
    /// Neither an API error nor a function error.
    [[nodiscard]] bool ok() const noexcept {
        return raw_.status >= 200 && raw_.status < 300 && raw_.function_error == 0;
    }
    [[nodiscard]] bool function_error() const noexcept { return raw_.function_error != 0; }
    [[nodiscard]] std::string_view payload() const noexcept { return text(raw_.payload); }
    [[nodiscard]] std::string_view version() const noexcept { return text(raw_.version); }
    [[nodiscard]] std::string_view error_code() const noexcept { return text(raw_.error_code); }
    [[nodiscard]] std::string_view log_tail() const noexcept { return text(raw_.log_tail); }
    [[nodiscard]] std::string_view request_id() const noexcept { return raw_.request_id; }
    [[nodiscard]] std::chrono::microseconds duration() const noexcept {
        return us(raw_.duration_us);
    }
    [[nodiscard]] std::chrono::microseconds billed() const noexcept { return us(raw_.billed_us); }
    /// Zero on a warm start.
    [[nodiscard]] std::chrono::microseconds init() const noexcept { return us(raw_.init_us); }
    [[nodiscard]] std::chrono::microseconds cpu() const noexcept { return us(raw_.cpu_us); }
    [[nodiscard]] std::uint64_t memory_peak_bytes() const noexcept {
        return raw_.memory_peak_bytes;
    }
    [[nodiscard]] std::uint32_t memory_mib() const noexcept { return raw_.memory_mib; }
    [[nodiscard]] const hako_client_answer& raw() const noexcept { return raw_; }

private:
    static std::string_view text(hako_client_view view) noexcept { return {view.data, view.bytes}; }
    static std::chrono::microseconds us(std::uint64_t count) noexcept {
        return std::chrono::microseconds(static_cast<std::int64_t>(count));
    }
    hako_client_answer raw_;
};

struct InvokeOptions {
    std::string_view qualifier = {};
    std::string_view client_context = {};
    int type = HAKO_CLIENT_REQUEST_RESPONSE;
    bool tail = false;
};

/// Owns one connection. Moves; the threading rules are those of hako/client.h.
class Client {
public:
    /// Throws ClientError (as everything below does).
    explicit Client(const std::string& path) {
        hako_client_error error{};
        handle_ = hako_client_connect(path.c_str(), &error);
        check(handle_ == nullptr, error);
    }
    /// Takes over a connected stream socket.
    [[nodiscard]] static Client adopt(int fd) {
        hako_client_error error{};
        hako_client* handle = hako_client_adopt(fd, &error);
        check(handle == nullptr, error);
        return Client(handle);
    }
    Client(Client&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Client& operator=(Client&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client() { hako_client_close(handle_); }

    /// Longest wait of each later call; negative: no limit; zero: never wait.
    void set_timeout(std::chrono::microseconds timeout) noexcept {
        hako_client_set_timeout(handle_, timeout.count());
    }
    Answer invoke(
        std::string_view function, std::string_view payload, const InvokeOptions& options = {}
    ) {
        const hako_client_request request = make(function, payload, options);
        hako_client_answer answer;
        hako_client_error error;
        check(hako_client_invoke(handle_, &request, &answer, &error) != 0, error);
        return Answer(answer);
    }
    /// Invokes, and hands the response to `on_part(std::string_view)` as it comes, in one piece if
    /// the function does not stream; the answer has no payload then, but an error's JSON. What
    /// `on_part` throws comes out of here, and the rest of the response is dropped.
    template <typename OnPart>
    Answer invoke_stream(
        std::string_view function,
        std::string_view payload,
        OnPart&& on_part,
        const InvokeOptions& options = {}
    ) {
        using Target = std::remove_reference_t<OnPart>;
        struct Call {
            Target* on_part;
            std::exception_ptr thrown;
        };
        Call call{&on_part, nullptr};
        const hako_client_sink sink{
            &call,
            nullptr,
            [](void* context, hako_client_view part) noexcept {
                auto& self = *static_cast<Call*>(context);
                try {
                    (*self.on_part)(std::string_view(part.data, part.bytes));
                    return 0;
                } catch (...) {  // lint: allow catch-all (rethrown above C)
                    self.thrown = std::current_exception();
                    return 1;
                }
            },
        };
        const hako_client_request request = make(function, payload, options);
        hako_client_answer answer;
        hako_client_error error;
        const int code = hako_client_invoke_stream(handle_, &request, &sink, &answer, &error);
        if (call.thrown != nullptr) {
            std::rethrow_exception(call.thrown);
        }
        check(code != 0, error);
        return Answer(answer);
    }
    /// Queues an invocation; returns its correlation number.
    std::uint64_t submit(
        std::string_view function, std::string_view payload, const InvokeOptions& options = {}
    ) {
        const hako_client_request request = make(function, payload, options);
        std::uint64_t correlation = 0;
        hako_client_error error;
        check(hako_client_submit(handle_, &request, &correlation, &error) != 0, error);
        return correlation;
    }
    void flush() {
        hako_client_error error;
        check(hako_client_flush(handle_, &error) != 0, error);
    }
    /// Any finished answer.
    Answer receive() {
        hako_client_answer answer;
        hako_client_error error;
        check(hako_client_receive(handle_, &answer, &error) != 0, error);
        return Answer(answer);
    }
    Answer control(std::string_view operation, std::string_view json, std::string_view blob = {}) {
        hako_client_answer answer;
        hako_client_error error;
        const int code =
            hako_client_control(handle_, view(operation), view(json), view(blob), &answer, &error);
        check(code != 0, error);
        return Answer(answer);
    }
    std::chrono::microseconds ping() {
        std::int64_t round_trip_us = 0;
        hako_client_error error;
        check(hako_client_ping(handle_, &round_trip_us, &error) != 0, error);
        return std::chrono::microseconds(round_trip_us);
    }
    /// Wakes a thread that waits in receive; every later call throws.
    void shutdown() noexcept { hako_client_shutdown(handle_); }
    [[nodiscard]] std::uint64_t in_flight() const noexcept {
        return hako_client_in_flight(handle_);
    }
    [[nodiscard]] int fd() const noexcept { return hako_client_fd(handle_); }
    [[nodiscard]] hako_client* handle() const noexcept { return handle_; }

private:
    explicit Client(hako_client* handle) noexcept : handle_(handle) {}
    static void check(bool failed, const hako_client_error& error) {
        if (failed) {
            throw ClientError(error);
        }
    }
    static hako_client_view view(std::string_view text) noexcept {
        return {text.data(), text.size()};
    }
    static hako_client_request make(
        std::string_view function, std::string_view payload, const InvokeOptions& options
    ) noexcept {
        return {
            view(function),
            view(options.qualifier),
            view(options.client_context),
            view(payload),
            options.type,
            options.tail ? 1 : 0
        };
    }

    hako_client* handle_ = nullptr;
};

}  // namespace hako

#endif
