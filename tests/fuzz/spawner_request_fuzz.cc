#include "engine/base/ensure.h"
#include "sandbox/validate.h"
#include "tests/fuzz/fuzz.h"

// The only parsing that the privileged process does: packets of an engine that has been taken over.

namespace {

using namespace hako;
using namespace hako::spawner;

void check(const Acquire& request) {
    ENSURE(static_cast<std::uint32_t>(request.runtime) < kRuntimeKindCount, "runtime is an index");
    ENSURE(
        request.memory_mib >= kMemoryMibMin && request.memory_mib <= kMemoryMibMax, "memory_mib"
    );
    ENSURE(request.tmp_mib >= kTmpMibMin && request.tmp_mib <= kTmpMibMax, "tmp_mib");
    for (const char c : request.code_id) {
        // A path component: nothing but digits may get through.
        ENSURE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'), "code_id is hexadecimal");
    }
    for (const char c : request.layers_id) {
        const bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        ENSURE(has_layers(request) ? is_hex : c == '\0', "layers_id is hexadecimal or nothing");
    }
}
void check(const Destroy& request) {
    ENSURE(request.reserved == 0, "reserved");
}
void check(const PoolTarget& request) {
    ENSURE(static_cast<std::uint32_t>(request.runtime) < kRuntimeKindCount, "runtime is an index");
    ENSURE(request.blanks_count <= sandbox::kPoolBlanksMax, "blanks_count");
}
void check(const StatsRequest& request) {
    ENSURE(request.reserved == 0, "reserved");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const auto packet = std::as_bytes(std::span(data, bytes));
    const Result<sandbox::Request> request = sandbox::decode_request(packet);
    if (!request) {
        ENSURE(request.error().code == Errc::kProtocol, "one kind of refusal");
        return 0;
    }
    std::visit(
        [&packet](const auto& accepted) {
            check(accepted);
            ENSURE(packet.size() == sizeof(accepted), "a packet has the size of its request");
            ENSURE(
                std::memcmp(packet.data(), &accepted, sizeof(accepted)) == 0,
                "the request is the packet"
            );
        },
        *request
    );
    return 0;
}
