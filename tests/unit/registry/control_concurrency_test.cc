#include <cstdint>

#include <gtest/gtest.h>

#include "tests/unit/registry/control_fixture.h"

namespace hako::registry {
namespace {

TEST_F(Control, ReservesConcurrency) {
    engine_.create("f", zip_);
    engine_.create("g", zip_);
    const std::uint64_t id = engine_.registry->get("f")->id;
    EXPECT_EQ(call("GetFunctionConcurrency", R"({"FunctionName":"f"})").json, "{}");
    const ControlAnswer put = call(
        "PutFunctionConcurrency", R"({"FunctionName":"f","ReservedConcurrentExecutions":900})"
    );
    EXPECT_EQ(put.status, 200);
    EXPECT_EQ(put.json, R"({"ReservedConcurrentExecutions":900})");
    EXPECT_EQ(
        call("GetFunctionConcurrency", R"({"FunctionName":"f"})").json,
        R"({"ReservedConcurrentExecutions":900})"
    );
    EXPECT_EQ(engine_.registry->get("f")->id, id) << "instances stay valid";
    EXPECT_EQ(changes_.back().after->common->reserved_concurrency, 900U);
    EXPECT_EQ(
        json_at(
            call("GetFunction", R"({"FunctionName":"f"})").json,
            "/Concurrency/ReservedConcurrentExecutions"
        ),
        "900"
    );
    const std::string too_much =
        "Specified ReservedConcurrentExecutions for function decreases account's "
        "UnreservedConcurrentExecution below its minimum value of [100].";
    expect_refused(
        call("PutFunctionConcurrency", R"({"FunctionName":"g","ReservedConcurrentExecutions":1})"),
        400,
        "InvalidParameterValueException",
        too_much
    );
    EXPECT_EQ(
        call("PutFunctionConcurrency", R"({"FunctionName":"g","ReservedConcurrentExecutions":0})")
            .status,
        200
    );
    EXPECT_EQ(
        json_at(
            call("GetAccountSettings", "{}").json, "/AccountLimit/UnreservedConcurrentExecutions"
        ),
        "100"
    );
    expect_refused(
        call("PutFunctionConcurrency", R"({"FunctionName":"f"})"),
        400,
        "ValidationException",
        "1 validation error detected: Value null at 'reservedConcurrentExecutions' failed to "
        "satisfy constraint: Member must not be null"
    );
    expect_refused(
        call(
            "PutFunctionConcurrency",
            R"({"FunctionName":"f:$LATEST","ReservedConcurrentExecutions":1})"
        ),
        400,
        "InvalidParameterValueException",
        kUnqualified
    );
    EXPECT_EQ(call("DeleteFunctionConcurrency", R"({"FunctionName":"f"})").status, 204);
    EXPECT_FALSE(engine_.registry->get("f")->common->reserved_concurrency.has_value());
}

TEST_F(Control, CountsReservationsThatAreStillBeingWritten) {
    engine_.create("f", zip_);
    engine_.create("g", zip_);
    ControlAnswer inner;
    engine_.runner.before = [this, &inner] {
        inner = call(
            "PutFunctionConcurrency", R"({"FunctionName":"g","ReservedConcurrentExecutions":600})"
        );
    };
    const ControlAnswer outer = call(
        "PutFunctionConcurrency", R"({"FunctionName":"f","ReservedConcurrentExecutions":600})"
    );
    EXPECT_EQ(outer.status, 200);
    EXPECT_EQ(inner.status, 400) << "together they would take 1200 of 1000";
    EXPECT_EQ(engine_.registry->reserved_total(), 600U);
}

TEST_F(Control, ProvisionsOnTheLatestVersion) {
    engine_.create("f", zip_);
    const std::uint64_t id = engine_.registry->get("f")->id;
    const std::string get = R"({"FunctionName":"f","Qualifier":"$LATEST"})";
    expect_refused(
        call("GetProvisionedConcurrencyConfig", get),
        404,
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function"
    );
    const auto put = [this](int count) {
        return call(
            "PutProvisionedConcurrencyConfig",
            R"({"FunctionName":"f","Qualifier":"$LATEST","ProvisionedConcurrentExecutions":)" +
                std::to_string(count) + "}"
        );
    };
    const ControlAnswer answer = put(2);
    EXPECT_EQ(answer.status, 202);
    EXPECT_EQ(json_at(answer.json, "/RequestedProvisionedConcurrentExecutions"), "2");
    EXPECT_EQ(json_at(answer.json, "/AvailableProvisionedConcurrentExecutions"), "0");
    EXPECT_EQ(json_at(answer.json, "/AllocatedProvisionedConcurrentExecutions"), "0");
    EXPECT_EQ(json_at(answer.json, "/Status"), "IN_PROGRESS");
    EXPECT_EQ(json_at(answer.json, "/LastModified").size(), 28U);
    EXPECT_EQ(engine_.registry->get("f")->id, id);
    EXPECT_EQ(changes_.back().after->provisioned_count, 2U);
    EXPECT_EQ(json_at(call("GetProvisionedConcurrencyConfig", get).json, "/Status"), "IN_PROGRESS");
    expect_refused(
        put(1001),
        400,
        "InvalidParameterValueException",
        "Specified ConcurrentExecutions for function is greater than account's unreserved "
        "concurrency [1000]."
    );
    expect_refused(
        call("PutFunctionConcurrency", R"({"FunctionName":"f","ReservedConcurrentExecutions":1})"),
        400,
        "InvalidParameterValueException",
        "ReservedConcurrentExecutions  1 should not be lower than function's total provisioned "
        "concurrency [2]."
    );
    call("PutFunctionConcurrency", R"({"FunctionName":"f","ReservedConcurrentExecutions":3})");
    expect_refused(
        put(4),
        400,
        "InvalidParameterValueException",
        "Requested Provisioned Concurrency should not be greater than the "
        "reservedConcurrentExecution for function"
    );
    EXPECT_EQ(put(0).error_code, "ValidationException");
    expect_refused(
        call(
            "PutProvisionedConcurrencyConfig",
            R"({"FunctionName":"f","ProvisionedConcurrentExecutions":1})"
        ),
        400,
        "ValidationException",
        "1 validation error detected: Value null at 'qualifier' failed to satisfy constraint: "
        "Member must not be null"
    );
    EXPECT_EQ(call("DeleteProvisionedConcurrencyConfig", get).status, 204);
    EXPECT_EQ(engine_.registry->get("f")->provisioned_count, 0U);
}

TEST(ControlOptionsTest, ReportsReadyProvisionedInstances) {
    const TempDir dir;
    std::uint32_t ready = 1;
    Engine engine(dir.path() + "/state", {.provisioned_ready = [&ready](const FunctionVersion&) {
                      return ready;
                  }});
    engine.create("f", python_zip());
    engine.call(
        "PutProvisionedConcurrencyConfig",
        R"({"FunctionName":"f","Qualifier":"$LATEST","ProvisionedConcurrentExecutions":2})"
    );
    const std::string get = R"({"FunctionName":"f","Qualifier":"$LATEST"})";
    const auto half = engine.call("GetProvisionedConcurrencyConfig", get);
    EXPECT_EQ(json_at(half.json, "/AvailableProvisionedConcurrentExecutions"), "1");
    EXPECT_EQ(json_at(half.json, "/Status"), "IN_PROGRESS");
    ready = 3;
    const auto full = engine.call("GetProvisionedConcurrencyConfig", get);
    EXPECT_EQ(json_at(full.json, "/AvailableProvisionedConcurrentExecutions"), "2");
    EXPECT_EQ(json_at(full.json, "/Status"), "READY");
}

}  // namespace
}  // namespace hako::registry
