#include <array>

#include "engine/base/ensure.h"
#include "engine/registry/control_request.h"
#include "engine/registry/digest.h"
#include "tests/fuzz/fuzz.h"

// The JSON of control operations: byte 0 chooses the operation, the rest is its request.

namespace {

using namespace hako::registry;
namespace fuzz = hako::fuzz;

constexpr std::array<std::string_view, 14> kOperations = {
    "CreateFunction",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
    "GetFunction",
    "GetFunctionConfiguration",
    "ListFunctions",
    "DeleteFunction",
    "PutFunctionConcurrency",
    "GetFunctionConcurrency",
    "DeleteFunctionConcurrency",
    "PutProvisionedConcurrencyConfig",
    "GetProvisionedConcurrencyConfig",
    "DeleteProvisionedConcurrencyConfig",
    "GetAccountSettings",
};

/// What is stored as JSON comes back as it was.
void check_pairs(const StringPairs& pairs) {
    JsonDocument document;
    const std::string text = write_string_map(pairs);
    const auto members = document.parse(text);
    ENSURE(members.has_value(), "a map is written as JSON");
    const auto again = read_string_map(*members, "again");
    ENSURE(again && *again == pairs, "a map survives being written");
}

void check_zip(const std::vector<std::byte>& zip) {
    const std::span<const std::uint8_t> bytes(
        reinterpret_cast<const std::uint8_t*>(zip.data()), zip.size()
    );
    const auto again = from_base64(to_base64(bytes));
    ENSURE(again && *again == zip, "base64 goes both ways");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    fuzz::Input input(data, bytes);
    const std::size_t index = input.take<std::uint8_t>() % kOperations.size();
    // A copy of exactly the size: the JSON parser likes to read ahead.
    const std::string json(input.rest());
    const auto request =
        read_request(static_cast<Operation>(1U << index), kOperations[index], json);
    if (!request) {
        const ApiError& error = request.error();
        ENSURE(error.status == 400 && !error.code.empty(), "a refusal is the client's fault");
        JsonDocument document;
        const std::string body = error.to_json();
        ENSURE(document.parse(body).has_value(), "the error is JSON, whatever it quotes");
        return 0;
    }
    if (request->environment) {
        check_pairs(*request->environment);
    }
    if (request->tags) {
        check_pairs(*request->tags);
    }
    if (request->zip) {
        check_zip(*request->zip);
    }
    return 0;
}
