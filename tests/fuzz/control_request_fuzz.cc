#include <string>
#include <vector>

#include "engine/base/ensure.h"
#include "engine/registry/digest.h"
#include "engine/registry/request.h"
#include "tests/fuzz/fuzz.h"

// Requests of every operation: byte 0 chooses the operation, a short text is its query, the rest is
// its JSON.

namespace {

using namespace hako::registry;
namespace fuzz = hako::fuzz;
namespace model = hako::model;

/// What is stored as JSON comes back as it was.
void check_pairs(const StringPairs& pairs) {
    JsonDocument document;
    const std::string text = write_string_map(pairs);
    const auto members = document.parse(text);
    ENSURE(members.has_value(), "a map is written as JSON");
    const auto again = read_string_map(*members, "again");
    ENSURE(again && *again == pairs, "a map survives being written");
}

void check_blob(const std::vector<std::byte>& blob) {
    const std::span<const std::uint8_t> bytes(
        reinterpret_cast<const std::uint8_t*>(blob.data()), blob.size()
    );
    const auto again = from_base64(to_base64(bytes));
    ENSURE(again && *again == blob, "base64 goes both ways");
}

/// Every value can be asked for as what it was checked to be.
void visit(const model::Type& type, const Value& value) {
    if (!value) {
        return;
    }
    (void)value.to_text();
    switch (type.kind) {
        case model::Kind::kList:
            for (const Value& item : value.items()) {
                visit(*type.element, item);
            }
            return;
        case model::Kind::kMap:
            if (type.element->kind == model::Kind::kString) {
                check_pairs(value.pairs());
            }
            return;
        case model::Kind::kStructure:
            for (const model::Member& member : type.members) {
                visit(*member.type, value[member.name]);
            }
            return;
        case model::Kind::kInteger:
        case model::Kind::kLong:
            (void)value.integer();
            return;
        case model::Kind::kDouble:
        case model::Kind::kTimestamp:
            (void)value.number();
            return;
        case model::Kind::kBoolean:
            (void)value.boolean();
            return;
        default:
            (void)value.text();
    }
}

void check_refusal(const ApiError& error) {
    ENSURE(error.status == 400 && !error.code.empty(), "a refusal is the client's fault");
    JsonDocument document;
    const std::string body = error.to_json();
    ENSURE(document.parse(body).has_value(), "the error is JSON, whatever it quotes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static const RequestReader reader;
    fuzz::Input input(data, bytes);
    const auto operations = model::operations();
    const model::Operation& operation = operations[input.take<std::uint8_t>() % operations.size()];
    model::Route route{.operation = &operation};
    route.labels.fill("%61b");
    const std::string query(input.take_text());
    const auto given =
        model::collect_given(route, query, [](std::string_view) { return std::string_view(); });
    if (!given) {
        return 0;
    }
    // A copy of exactly the size: the JSON parser likes to read ahead.
    const std::string json(input.rest());
    const auto request = reader.read(operation, *given, json);
    if (!request) {
        check_refusal(request.error());
        return 0;
    }
    for (const model::Member& member : operation.members) {
        if (member.place != model::Place::kPayload) {
            visit(*member.type, (*request)[member.name]);
        }
    }
    if (request->blob()) {
        check_blob(*request->blob());
    }
    return 0;
}
