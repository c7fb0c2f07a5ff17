#include "sandbox/validate.h"

#include <algorithm>
#include <cstring>

namespace hako::sandbox {
namespace {

using namespace hako::spawner;

bool is_runtime(RuntimeKind runtime) noexcept {
    return static_cast<std::uint32_t>(runtime) < kRuntimeKindCount;
}

bool is_hex(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool is_nul(char c) noexcept {
    return c == '\0';
}

Result<Request> check(const Acquire& request) noexcept {
    if (!is_runtime(request.runtime)) {
        return fail(Errc::kProtocol, "acquire: runtime");
    }
    if (request.memory_mib < kMemoryMibMin || request.memory_mib > kMemoryMibMax) {
        return fail(Errc::kProtocol, "acquire: memory_mib");
    }
    if (request.tmp_mib < kTmpMibMin || request.tmp_mib > kTmpMibMax) {
        return fail(Errc::kProtocol, "acquire: tmp_mib");
    }
    if (!std::ranges::all_of(request.code_id, is_hex)) {
        return fail(Errc::kProtocol, "acquire: code_id");
    }
    const bool has_layers = spawner::has_layers(request);
    if (!std::ranges::all_of(request.layers_id, has_layers ? is_hex : is_nul)) {
        return fail(Errc::kProtocol, "acquire: layers_id");
    }
    return request;
}

Result<Request> check(const Destroy& request) noexcept {
    if (request.reserved != 0) {
        return fail(Errc::kProtocol, "destroy: reserved");
    }
    return request;
}

Result<Request> check(const PoolTarget& request) noexcept {
    if (!is_runtime(request.runtime) || request.reserved != 0) {
        return fail(Errc::kProtocol, "pool target: runtime or reserved");
    }
    if (request.blanks_count > kPoolBlanksMax) {
        return fail(Errc::kProtocol, "pool target: blanks_count");
    }
    return request;
}

Result<Request> check(const StatsRequest& request) noexcept {
    if (request.reserved != 0) {
        return fail(Errc::kProtocol, "stats: reserved");
    }
    return request;
}

template <typename T>
Result<Request> decode_as(std::span<const std::byte> packet) noexcept {
    if (packet.size() != sizeof(T)) {
        return fail(Errc::kProtocol, "wrong packet length");
    }
    T request;
    std::memcpy(&request, packet.data(), sizeof(T));
    return check(request);
}

}  // namespace

Result<Request> decode_request(std::span<const std::byte> packet) noexcept {
    std::uint32_t op = 0;
    if (packet.size() < sizeof(op)) {
        return fail(Errc::kProtocol, "packet shorter than its op");
    }
    std::memcpy(&op, packet.data(), sizeof(op));
    switch (static_cast<Op>(op)) {
        case Op::kAcquire:
            return decode_as<Acquire>(packet);
        case Op::kDestroy:
            return decode_as<Destroy>(packet);
        case Op::kPoolTarget:
            return decode_as<PoolTarget>(packet);
        case Op::kStats:
            return decode_as<StatsRequest>(packet);
        default:
            return fail(Errc::kProtocol, "unknown op");
    }
}

}  // namespace hako::sandbox
