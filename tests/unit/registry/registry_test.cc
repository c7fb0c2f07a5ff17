#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <new>

#include <gtest/gtest.h>

#include "engine/registry/registry.h"
#include "engine/registry/validation.h"

namespace {
// Counts while it is set: the hot read must not allocate.
std::size_t* g_allocations_count = nullptr;
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
    if (g_allocations_count != nullptr) {
        ++*g_allocations_count;
    }
    if (void* memory = std::malloc(bytes)) {
        return memory;
    }
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace hako::registry {
namespace {

constexpr const char* kArn = "arn:aws:lambda:us-east-1:123456789012:function:";

FunctionRef make_function(const std::string& name) {
    auto function = std::make_shared<FunctionVersion>();
    function->name = name;
    function->arn = kArn + name;
    function->code_bytes = 10;
    return function;
}

/// The same function: $LATEST again, or a published version.
FunctionRef make_version(const FunctionVersion& of, std::uint64_t number) {
    auto version = std::make_shared<FunctionVersion>(of);
    version->number = number;
    version->version = version_text(number);
    return version;
}

struct Accepted {
    std::string name;
    std::string qualifier;
};
struct Refused {
    std::string name;
    std::string qualifier;
    int status;
    std::string code;
    std::string message;
};

std::vector<Refused> not_found_names() {
    const std::string arn = kArn;
    return {
        {"none", "", 404, "ResourceNotFoundException", "Function not found: " + arn + "none"},
        {"none",
         "$LATEST",
         404,
         "ResourceNotFoundException",
         "Function not found: " + arn + "none:$LATEST"},
        {"resize", "1", 404, "ResourceNotFoundException", "Function not found: " + arn + "resize:1"
        },
        {"resize:live",
         "",
         404,
         "ResourceNotFoundException",
         "Function not found: " + arn + "resize:live"},
        {"resize:1",
         "2",
         400,
         "InvalidParameterValueException",
         "The derived qualifier from the function name does not match the specified qualifier."},
        {"arn:aws:lambda:eu-west-1:123456789012:function:resize",
         "",
         404,
         "ResourceNotFoundException",
         "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"},
        {"arn:aws:lambda:us-east-1:999999999999:function:resize",
         "",
         403,
         "AccessDeniedException",
         "Functions of account 999999999999 are not accessible: this engine serves account "
         "123456789012"},
        {"999999999999:function:resize",
         "",
         403,
         "AccessDeniedException",
         "Functions of account 999999999999 are not accessible: this engine serves account "
         "123456789012"},
    };
}

std::vector<Refused> malformed_names() {
    const std::string pattern =
        "Member must satisfy regular expression pattern: " + std::string(kNamespacedNamePattern);
    const auto broken = [&pattern](const std::string& value) {
        return "1 validation error detected: Value '" + value +
               "' at 'functionName' failed to satisfy constraint: " + pattern;
    };
    const std::string long_name(65, 'a');
    const std::string too_long(257, 'a');
    return {
        {"",
         "",
         400,
         "ValidationException",
         "1 validation error detected: Value '' at 'functionName' failed to satisfy constraint: "
         "Member must have length greater than or equal to 1"},
        {too_long,
         "",
         400,
         "ValidationException",
         "1 validation error detected: Value '" + too_long +
             "' at 'functionName' failed to satisfy constraint: Member must have length less than "
             "or equal to 256"},
        {long_name,
         "",
         400,
         "InvalidParameterValueException",
         "1 validation error detected: Value '" + long_name +
             "' at 'functionName' failed to satisfy constraint: Member must have length less than "
             "or equal to 64"},
        {"re size", "", 400, "ValidationException", broken("re size")},
        {"resize:", "", 400, "ValidationException", broken("resize:")},
        {"resize:a:b", "", 400, "ValidationException", broken("resize:a:b")},
        {"../resize", "", 400, "ValidationException", broken("../resize")},
        {"arn:aws:lambda:us-east-1:123456789012:resize",
         "",
         400,
         "ValidationException",
         broken("arn:aws:lambda:us-east-1:123456789012:resize")},
        {"arn:aws:s3:us-east-1:123456789012:function:resize",
         "",
         400,
         "ValidationException",
         broken("arn:aws:s3:us-east-1:123456789012:function:resize")},
        {"resize",
         "a b",
         400,
         "ValidationException",
         "1 validation error detected: Value 'a b' at 'qualifier' failed to satisfy constraint: "
         "Member must satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)"},
    };
}

class RegistryFind : public testing::Test {
protected:
    RegistryFind() : registry_(Identity{}) {
        registry_.put(make_function("resize"));
        registry_.put(make_function("function"));
        registry_.put(make_function("arn"));
    }
    Registry registry_;
};

TEST_F(RegistryFind, TakesEveryFormOfName) {
    const std::string arn = std::string(kArn) + "resize";
    for (const Accepted& form : std::vector<Accepted>{
             {"resize", ""},
             {"resize", "$LATEST"},
             {"resize:$LATEST", ""},
             {"resize:$LATEST", "$LATEST"},
             {"function:resize", ""},
             {"123456789012:resize", ""},
             {"123456789012:function:resize", ""},
             {"123456789012:function:resize:$LATEST", ""},
             {"us-east-1:123456789012:function:resize", ""},
             {arn, ""},
             {arn + ":$LATEST", ""},
             {arn, "$LATEST"},
         }) {
        const auto found = registry_.find(form.name, form.qualifier);
        ASSERT_TRUE(found) << form.name << ": " << found.error().message;
        EXPECT_EQ(found->function->name, "resize") << form.name;
    }
    EXPECT_EQ(registry_.find("function", "")->function->name, "function");
    EXPECT_EQ(registry_.find("function:$LATEST", "")->function->name, "function");
    EXPECT_EQ(registry_.find("arn:$LATEST", "")->function->name, "arn");
}

TEST_F(RegistryFind, RefusesWithLambdasTexts) {
    std::vector<Refused> cases = not_found_names();
    std::ranges::move(malformed_names(), std::back_inserter(cases));
    for (const Refused& refused : cases) {
        const auto found = registry_.find(refused.name, refused.qualifier);
        ASSERT_FALSE(found) << refused.name;
        EXPECT_EQ(found.error().status, refused.status) << refused.name;
        EXPECT_EQ(found.error().code, refused.code) << refused.name;
        EXPECT_EQ(found.error().message, refused.message);
    }
}

TEST_F(RegistryFind, DoesNotAllocateForAPlainName) {
    std::size_t allocations_count = 0;
    g_allocations_count = &allocations_count;
    const bool found =
        registry_.find("resize", "").has_value() && registry_.find("resize", "$LATEST").has_value();
    const bool found_arn =
        registry_.find("arn:aws:lambda:us-east-1:123456789012:function:resize", "").has_value();
    g_allocations_count = nullptr;
    EXPECT_TRUE(found);
    EXPECT_TRUE(found_arn);
    EXPECT_EQ(allocations_count, 0U);
}

TEST(FunctionNameShape, LimitsTheWholeString) {
    EXPECT_EQ(
        parse_function_name(std::string(141, 'a'), NameShape::kFunctionName).error().message,
        "1 validation error detected: Value '" + std::string(141, 'a') +
            "' at 'functionName' failed to satisfy constraint: Member must have length less than "
            "or equal to 140"
    );
    EXPECT_TRUE(parse_function_name("a.b", NameShape::kNamespaced));
    EXPECT_FALSE(parse_function_name("a.b", NameShape::kFunctionName));
    EXPECT_EQ(
        parse_function_name("us-gov-west-1:123456789012:f", NameShape::kFunctionName)->region,
        "us-gov-west-1"
    );
}

TEST(Registry, ReplacesRemovesAndListsInOrder) {
    Registry registry{Identity{}};
    for (const char* name : {"c", "a", "b"}) {
        EXPECT_EQ(registry.put(make_function(name)), nullptr);
    }
    const FunctionRef newer = make_version(*registry.get("b"), 0);
    const FunctionRef before = registry.put(newer);
    EXPECT_NE(before, nullptr);
    EXPECT_EQ(registry.get("b"), newer);
    EXPECT_EQ(registry.code_bytes_total(), 30U);
    const auto page = registry.list("", 2);
    ASSERT_EQ(page.size(), 2U);
    EXPECT_EQ(page[0]->name(), "a");
    EXPECT_EQ(page[1]->latest, newer);
    EXPECT_EQ(registry.list("b", 10).front()->name(), "c");
    EXPECT_TRUE(registry.list("c", 10).empty());
    EXPECT_EQ(registry.remove("b"), std::vector<FunctionRef>{newer});
    EXPECT_TRUE(registry.remove("b").empty());
    EXPECT_EQ(registry.functions_count(), 2U);
    EXPECT_EQ(registry.list("", 10).size(), 2U);
    EXPECT_EQ(registry.code_bytes_total(), 20U);
}

}  // namespace
}  // namespace hako::registry
