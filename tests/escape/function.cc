// The attempt runner as a function, native and executable; the Python one calls `hako_escape_try`
// of the same shared object. Event: {"try":["NAME", "NAME ARGUMENT", ...]}; answer:
// {"NAME ARGUMENT":"outcome", ...}. Events are made by tests/escape/run and have no escapes.
#include <cstring>
#include <string>
#include <string_view>

#include "hako/function.h"
#include "tests/escape/attempts.h"
#include "tests/escape/misdeeds.h"

namespace {

std::string run_all(std::string_view list) {
    std::string answer = "{";
    while (true) {
        const std::size_t begin = list.find('"');
        const std::size_t end = begin == list.npos ? list.npos : list.find('"', begin + 1);
        if (end == list.npos) {
            return answer + "}";
        }
        const std::string_view what = list.substr(begin + 1, end - begin - 1);
        answer += answer.size() > 1 ? ",\"" : "\"";
        answer.append(what).append("\":\"").append(hako::escape::try_attempt(what)).append("\"");
        list.remove_prefix(end + 1);
    }
}

int escape(hako_invocation* inv) {
    const std::string_view event(inv->event.data, inv->event.bytes);
    const std::size_t list = event.find('[');
    if (list == event.npos) {
        return hako::escape::misbehave(inv);
    }
    const std::string answer = run_all(event.substr(list));
    return hako_respond(inv, answer.data(), answer.size());
}

}  // namespace

HAKO_FUNCTION(escape)

/// For Python's ctypes: the outcome of one attempt, valid until the next call.
extern "C" [[gnu::visibility("default")]] const char* hako_escape_try(const char* what) {
    static std::string outcome;
    outcome = hako::escape::try_attempt(what);
    return outcome.c_str();
}
