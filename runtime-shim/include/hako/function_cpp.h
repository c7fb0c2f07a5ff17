// The C++ side of hako/function.h, which includes it. C++17 or later; one header, nothing to link.
#ifndef HAKO_FUNCTION_CPP_H
#define HAKO_FUNCTION_CPP_H

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace hako {

/// What a handler may ask about its invocation. Views are valid until the handler returns.
class Context {
public:
    explicit Context(hako_invocation* inv) noexcept : inv_(inv) {}

    [[nodiscard]] std::string_view request_id() const noexcept { return inv_->request_id; }
    [[nodiscard]] std::string_view trace_id() const noexcept { return inv_->trace_id; }
    [[nodiscard]] std::string_view invoked_function_arn() const noexcept {
        return inv_->invoked_function_arn;
    }
    /// Decoded JSON, empty when the caller gave none.
    [[nodiscard]] std::string_view client_context() const noexcept {
        return {inv_->client_context.data, inv_->client_context.bytes};
    }
    /// JSON, empty when the caller gave none.
    [[nodiscard]] std::string_view cognito_identity() const noexcept {
        return inv_->cognito_identity;
    }
    [[nodiscard]] std::int64_t remaining_ms() const noexcept { return hako_remaining_ms(inv_); }
    [[nodiscard]] std::string_view function_name() const { return hako_function_name(); }
    [[nodiscard]] std::string_view function_version() const { return hako_function_version(); }
    [[nodiscard]] std::string_view log_group_name() const { return hako_log_group_name(); }
    [[nodiscard]] std::string_view log_stream_name() const { return hako_log_stream_name(); }
    [[nodiscard]] unsigned memory_mib() const { return hako_memory_mib(); }
    /// The C view of the same invocation, for answers written in place.
    [[nodiscard]] hako_invocation* raw() const noexcept { return inv_; }

private:
    hako_invocation* inv_;
};

/// An error with an `errorType` of the author's choice, which remembers where it was made: the
/// frames become the answer's `stackTrace`. Other exceptions have lost theirs when they are caught.
class Error : public std::runtime_error {
public:
    __attribute__((noinline)) Error(std::string type, const std::string& message)
        : std::runtime_error(message), type_(std::move(type)) {
        void* addresses[kFramesMax];
        void** const end = addresses + backtrace(addresses, kFramesMax);
        // Our own frame and whatever lies above it are of no interest.
        void** const caller = std::find(addresses, end, __builtin_return_address(0));
        frames_.assign(caller != end ? caller : addresses, end);
    }
    [[nodiscard]] const std::string& type() const noexcept { return type_; }
    [[nodiscard]] const std::vector<void*>& frames() const noexcept { return frames_; }

private:
    static constexpr int kFramesMax = 32;
    std::string type_;
    std::vector<void*> frames_;
};

/// An answer that goes out while the handler runs, for handlers that take one:
/// `void handler(std::string_view event, hako::ResponseStream& out, hako::Context& context)`.
/// A caller that wants the answer whole gets the parts joined. An exception after the first write
/// breaks the stream off.
class ResponseStream {
public:
    explicit ResponseStream(hako_invocation* inv) noexcept : inv_(inv) {}
    ResponseStream(const ResponseStream&) = delete;
    ResponseStream& operator=(const ResponseStream&) = delete;

    /// What the caller is told it gets; before the first write.
    void set_content_type(std::string type) { type_ = std::move(type); }
    /// An HTTP status and headers for a function URL, as Lambda's {"statusCode","headers",
    /// "cookies"}; before the first write.
    void begin_http(const std::string& prelude) {
        check(hako_respond_begin_http(inv_, prelude.c_str()));
    }
    /// Waits while the caller is slow. Throws hako::Error when the answer becomes too large.
    void write(std::string_view part) {
        begin();
        check(hako_respond_write(inv_, part.data(), part.size()));
    }
    /// Lets the caller's answer begin; the first write does it too.
    void begin() {
        if (inv_->parts == 0) {
            check(hako_respond_begin(inv_, type_.c_str()));
        }
    }

private:
    static void check(int error) {
        if (error == EFBIG) {
            throw Error("Function.ResponseSizeTooLarge", "The response is too large");
        }
        if (error != 0) {
            throw Error("Runtime.StreamError", std::strerror(error));
        }
    }
    hako_invocation* inv_;
    std::string type_ = HAKO_STREAM_TYPE_DEFAULT;
};

namespace detail {

inline std::string demangle(const char* name) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(
        abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free
    );
    return status == 0 && text ? text.get() : name;
}

/// One line of a stack trace: `function+0x1a (/var/task/libx.so+0x12f0)`; addr2line takes the last.
inline std::string describe_frame(void* address) {
    const auto hex = [](std::uintptr_t value) {
        char text[24];
        std::snprintf(text, sizeof(text), "+0x%zx", static_cast<std::size_t>(value));
        return std::string(text);
    };
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    Dl_info info = {};
    if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) {
        return "??" + hex(at);
    }
    std::string line = "??";
    if (info.dli_sname != nullptr) {
        line =
            demangle(info.dli_sname) + hex(at - reinterpret_cast<std::uintptr_t>(info.dli_saddr));
    }
    const auto base = reinterpret_cast<std::uintptr_t>(info.dli_fbase);
    return line + " (" + info.dli_fname + hex(at - base) + ")";
}

inline int fail_with_frames(hako_invocation* inv, const Error& error) {
    hako_begin_error_(inv, error.type().c_str(), error.what());
    const char* separator = "";
    for (void* const address : error.frames()) {
        const std::string line = describe_frame(address);
        hako_put_(inv, separator, std::strlen(separator));
        hako_put_string_(inv, line.data(), line.size());
        separator = ",";
    }
    hako_put_(inv, "]}", 2);
    return 1;
}

/// The name of the exception being handled; also works for types that are no std::exception.
inline std::string current_exception_type() {
    const std::type_info* const type = abi::__cxa_current_exception_type();
    return type != nullptr ? demangle(type->name()) : "unknown";
}

template <typename Handler>
int call_unguarded(const Handler& handler, hako_invocation* inv) {
    Context context(inv);
    if constexpr (std::is_invocable_r_v<int, Handler, hako_invocation*>) {
        return handler(inv);
    } else if constexpr (std::
                             is_invocable_v<Handler, std::string_view, ResponseStream&, Context&>) {
        ResponseStream out(inv);
        handler(std::string_view(inv->event.data, inv->event.bytes), out, context);
        out.begin();
        return 0;
    } else {
        const std::string_view event(inv->event.data, inv->event.bytes);
        const auto answer = handler(event, context);
        const std::string_view bytes = answer;
        return hako_respond(inv, bytes.data(), bytes.size());
    }
}

/// Calls either kind of handler; whatever it throws becomes the error answer.
template <typename Handler>
int call(const Handler& handler, hako_invocation* inv) {
    try {
        return call_unguarded(handler, inv);
    } catch (const Error& error) {
        return fail_with_frames(inv, error);
    } catch (const abi::__forced_unwind&) {
        throw;  // pthread_exit in the handler: swallowing it would abort the process
    } catch (const std::exception& error) {
        return hako_fail(inv, demangle(typeid(error).name()).c_str(), error.what());
    } catch (const char* text) {
        return hako_fail(inv, "char const*", text);
    } catch (const std::string& text) {
        return hako_fail(inv, "std::string", text.c_str());
    } catch (...) {
        return hako_fail(inv, current_exception_type().c_str(), "");
    }
}

}  // namespace detail
}  // namespace hako

#endif  // HAKO_FUNCTION_CPP_H
