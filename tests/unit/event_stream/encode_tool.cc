#include <cstdio>
#include <iterator>
#include <string>

#include "engine/gateway/lambda/event_stream.h"

// encode_tool EVENT-TYPE CONTENT-TYPE < PAYLOAD: one message on standard output.
int main(int arguments_count, char** arguments) {
    if (arguments_count != 3) {
        return 2;
    }
    std::string payload;
    for (int c = std::getchar(); c != EOF; c = std::getchar()) {
        payload.push_back(static_cast<char>(c));
    }
    std::string out;
    hako::gateway::lambda::append_event(
        out, {.event_type = arguments[1], .content_type = arguments[2]}, payload
    );
    return std::fwrite(out.data(), 1, out.size(), stdout) == out.size() ? 0 : 1;
}
