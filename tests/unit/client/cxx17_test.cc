// client.hpp promises C++17: this file is compiled as that, and only as that.
#include <hako/client.hpp>

static_assert(__cplusplus == 201703L, "the build passes -std=c++17");

int main() {
    try {
        hako::Client client("/nonexistent/hako.sock");
    } catch (const hako::ClientError& error) {
        return error.code() == HAKO_CLIENT_ESYSTEM && !error.is_timeout() ? 0 : 1;
    }
    return 2;
}
