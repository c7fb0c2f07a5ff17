#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/unit/registry/control_fixture.h"

namespace hako::registry {
namespace {

const std::string kBad = "InvalidParameterValueException";
const std::string kConflict = "ResourceConflictException";
const std::string kMissing = "ResourceNotFoundException";

class Versions : public Control {
protected:
    void SetUp() override { ASSERT_EQ(engine_.create("f", zip_).status, 201); }

    ControlAnswer publish(const std::string& more = "") {
        return call("PublishVersion", R"({"FunctionName":"f")" + more + "}");
    }
    /// Another state of $LATEST.
    void change(int timeout) {
        const std::string request = fmt::format(R"({{"FunctionName":"f","Timeout":{}}})", timeout);
        ASSERT_EQ(call("UpdateFunctionConfiguration", request).status, 200);
    }
    ControlAnswer alias(const std::string& operation, const std::string& more) {
        return call(operation, R"({"FunctionName":"f",)" + more + "}");
    }
    std::string version_of(const std::string& qualifier) {
        const auto found = engine_.registry->find("f", qualifier);
        return found ? found->function->version : "(none)";
    }
};

TEST_F(Versions, PublishingMakesAnImmutableCopyUnlessNothingChanged) {
    const std::string revision = engine_.registry->get("f")->revision_id;
    const ControlAnswer first = publish(R"(,"Description":"one")");
    ASSERT_EQ(first.status, 201) << first.json;
    EXPECT_EQ(json_at(first.json, "/Version"), "1");
    EXPECT_EQ(json_at(first.json, "/FunctionArn"), std::string(kArn) + ":1");
    EXPECT_EQ(json_at(first.json, "/Description"), "one");
    EXPECT_EQ(changes_.back().before, nullptr);
    EXPECT_EQ(changes_.back().after->version, "1");
    EXPECT_NE(changes_.back().after->id, engine_.registry->get("f")->id);
    EXPECT_NE(engine_.registry->get("f")->revision_id, revision) << "publishing is a change";
    EXPECT_EQ(json_at(publish().json, "/Version"), "1") << "nothing has changed";

    change(77);
    EXPECT_EQ(json_at(publish().json, "/Version"), "2");
    const auto get = [this](const std::string& name) {
        return call("GetFunctionConfiguration", R"({"FunctionName":")" + name + "\"}");
    };
    EXPECT_EQ(json_at(get("f:1").json, "/Timeout"), "3");
    EXPECT_EQ(json_at(get("f:2").json, "/Timeout"), "77");
    EXPECT_EQ(json_at(get("f:1").json, "/FunctionArn"), std::string(kArn) + ":1");
    EXPECT_EQ(get("f:3").status, 404);
    EXPECT_EQ(
        call("UpdateFunctionConfiguration", R"({"FunctionName":"f:1","Timeout":5})").status, 400
    );
}

TEST_F(Versions, NumbersAreNeverReusedButForANewFunction) {
    (void)publish();
    change(5);
    (void)publish();
    EXPECT_EQ(call("DeleteFunction", R"({"FunctionName":"f:2"})").status, 204);
    EXPECT_EQ(changes_.back().before->version, "2");
    EXPECT_EQ(changes_.back().after, nullptr);
    EXPECT_EQ(version_of("2"), "(none)");
    EXPECT_EQ(json_at(publish().json, "/Version"), "3");
    EXPECT_EQ(call("DeleteFunction", R"({"FunctionName":"f"})").status, 204);
    EXPECT_EQ(version_of("1"), "(none)");
    engine_.create("f", zip_);
    EXPECT_EQ(json_at(publish().json, "/Version"), "1");
}

TEST_F(Versions, ChecksCodeAndRevisionFirst) {
    const FunctionRef latest = engine_.registry->get("f");
    expect_refused(
        publish(R"(,"CodeSha256":"x")"),
        400,
        kBad,
        "CodeSHA256 (x) is different from current CodeSHA256 in $LATEST (" + latest->code_sha256 +
            "). Please try again with the CodeSHA256 in $LATEST."
    );
    EXPECT_EQ(publish(R"(,"RevisionId":"x")").status, 412);
    EXPECT_EQ(publish(R"(,"RevisionId":")" + latest->revision_id + "\"").status, 201);
    EXPECT_EQ(call("PublishVersion", R"({"FunctionName":"f:1"})").status, 400);
    EXPECT_EQ(call("PublishVersion", R"({"FunctionName":"g"})").status, 404);
}

TEST_F(Versions, CreateAndUpdatePublishAtOnce) {
    const ControlAnswer created = call(
        "CreateFunction",
        R"({"FunctionName":"g","Runtime":"python3.12","Handler":"a.b","Publish":true})",
        zip_
    );
    ASSERT_EQ(created.status, 201) << created.json;
    EXPECT_EQ(json_at(created.json, "/Version"), "1");
    EXPECT_TRUE(json_at(created.json, "/FunctionArn").ends_with(":g:1"));
    const std::string request = R"({"FunctionName":"g","Publish":true})";
    EXPECT_EQ(json_at(call("UpdateFunctionCode", request, zip_).json, "/Version"), "1");
    const ControlAnswer updated = call("UpdateFunctionCode", request, python_zip("new"));
    EXPECT_EQ(json_at(updated.json, "/Version"), "2");
    EXPECT_EQ(json_at(updated.json, "/LastUpdateStatus"), "Successful");
}

TEST_F(Versions, ListsLatestFirstThenByNumber) {
    for (int timeout = 10; timeout < 22; ++timeout) {
        change(timeout);
        (void)publish();
    }
    const auto list = [this](const std::string& more) {
        return call("ListVersionsByFunction", R"({"FunctionName":"f")" + more + "}").json;
    };
    const std::string all = list("");
    EXPECT_EQ(json_at(all, "/Versions/0/Version"), "$LATEST");
    EXPECT_EQ(json_at(all, "/Versions/0/FunctionArn"), std::string(kArn) + ":$LATEST");
    EXPECT_EQ(json_at(all, "/Versions/2/Version"), "2");
    EXPECT_EQ(json_at(all, "/Versions/12/Version"), "12");
    EXPECT_EQ(json_at(all, "/NextMarker"), "(none)");
    const std::string page = list(R"(,"MaxItems":3)");
    EXPECT_EQ(json_at(page, "/NextMarker"), "2");
    const std::string next = list(R"(,"MaxItems":10,"Marker":"2")");
    EXPECT_EQ(json_at(next, "/Versions/0/Version"), "3");
    EXPECT_EQ(json_at(next, "/Versions/9/Version"), "12");
    EXPECT_EQ(json_at(next, "/NextMarker"), "(none)");
    const std::string functions = call("ListFunctions", R"({"FunctionVersion":"ALL"})").json;
    EXPECT_EQ(json_at(functions, "/Functions/12/Version"), "12");
}

TEST_F(Versions, AliasesNameVersionsAndCanBeMoved) {
    (void)publish();
    change(9);
    (void)publish();
    const ControlAnswer made =
        alias("CreateAlias", R"("Name":"live","FunctionVersion":"1","Description":"d")");
    ASSERT_EQ(made.status, 201) << made.json;
    EXPECT_EQ(json_at(made.json, "/AliasArn"), std::string(kArn) + ":live");
    EXPECT_EQ(json_at(made.json, "/FunctionVersion"), "1");
    EXPECT_EQ(json_at(made.json, "/RoutingConfig"), "(none)");
    EXPECT_EQ(version_of("live"), "1");
    const ControlAnswer get = call("GetFunction", R"({"FunctionName":"f","Qualifier":"live"})");
    EXPECT_EQ(json_at(get.json, "/Configuration/FunctionArn"), std::string(kArn) + ":live");
    EXPECT_EQ(json_at(get.json, "/Configuration/Version"), "1");
    const ControlAnswer moved = alias("UpdateAlias", R"("Name":"live","FunctionVersion":"2")");
    EXPECT_EQ(moved.status, 200);
    EXPECT_EQ(json_at(moved.json, "/Description"), "d");
    EXPECT_NE(json_at(moved.json, "/RevisionId"), json_at(made.json, "/RevisionId"));
    EXPECT_EQ(version_of("live"), "2");
    EXPECT_EQ(
        alias(
            "UpdateAlias",
            R"("Name":"live","RevisionId":")" + json_at(made.json, "/RevisionId") + "\""
        )
            .status,
        412
    );
    EXPECT_EQ(json_at(alias("GetAlias", R"("Name":"live")").json, "/FunctionVersion"), "2");
    expect_refused(
        call("DeleteFunction", R"({"FunctionName":"f:2"})"),
        409,
        kConflict,
        "Unable to delete version because the following aliases reference it: [live]"
    );
    EXPECT_EQ(alias("DeleteAlias", R"("Name":"live")").status, 204);
    EXPECT_EQ(alias("DeleteAlias", R"("Name":"live")").status, 204) << "as Lambda";
    EXPECT_EQ(version_of("live"), "(none)");
    EXPECT_EQ(call("DeleteFunction", R"({"FunctionName":"f:2"})").status, 204);
}

TEST_F(Versions, AliasesAreRefusedWithLambdasTexts) {
    (void)publish();
    change(9);
    (void)publish();
    const std::string arn = kArn;
    ASSERT_EQ(alias("CreateAlias", R"("Name":"a","FunctionVersion":"1")").status, 201);
    expect_refused(
        alias("CreateAlias", R"("Name":"a","FunctionVersion":"1")"),
        409,
        kConflict,
        "Alias already exists: " + arn + ":a"
    );
    expect_refused(
        alias("CreateAlias", R"("Name":"b","FunctionVersion":"10")"),
        404,
        kMissing,
        "Function not found: " + arn + ":10"
    );
    expect_refused(
        alias("GetAlias", R"("Name":"b")"), 404, kMissing, "Cannot find alias arn: " + arn + ":b"
    );
    expect_refused(
        alias("UpdateAlias", R"("Name":"b")"), 404, kMissing, "Alias not found: " + arn + ":b"
    );
    expect_refused(
        call("DeleteFunction", R"({"FunctionName":"f:a"})"),
        400,
        kBad,
        "Deletion of aliases is not currently supported."
    );
    const auto weights = [this](const std::string& version, const std::string& routing) {
        return alias(
            "CreateAlias",
            R"("Name":"w","FunctionVersion":")" + version +
                R"(","RoutingConfig":{"AdditionalVersionWeights":)" + routing + "}"
        );
    };
    expect_refused(
        weights("1", R"({"1":0.5})"),
        400,
        kBad,
        "Invalid function version 1. Function version 1 is already included in routing "
        "configuration."
    );
    expect_refused(
        weights("1", R"({"2":0.5,"3":0.1})"),
        400,
        kBad,
        "Number of items in AdditionalVersionWeights cannot be greater than 1"
    );
    expect_refused(
        weights("$LATEST", R"({"2":0.5})"),
        400,
        kBad,
        "$LATEST is not supported for an alias pointing to more than 1 version"
    );
    EXPECT_EQ(weights("1", R"({"9":0.5})").status, 404);
    EXPECT_EQ(weights("$LATEST", "{}").status, 201);
}

TEST_F(Versions, WeightedAliasesSplitAsAsked) {
    (void)publish();
    change(9);
    (void)publish();
    const ControlAnswer made = alias(
        "CreateAlias",
        R"("Name":"w","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":0.2}})"
    );
    EXPECT_EQ(json_at(made.json, "/RoutingConfig/AdditionalVersionWeights/2"), "0.2");
    constexpr int kDraws = 20000;
    std::map<std::string, int> counts;
    for (int draw = 0; draw < kDraws; ++draw) {
        ++counts[version_of("w")];
    }
    // Six standard deviations: one failure in half a billion runs.
    const double deviation = std::sqrt(kDraws * 0.2 * 0.8);
    EXPECT_NEAR(counts["2"], kDraws * 0.2, 6 * deviation);
    EXPECT_EQ(counts["1"] + counts["2"], kDraws);
    EXPECT_EQ(call("DeleteFunction", R"({"FunctionName":"f:2"})").status, 409);
    const ControlAnswer cleared =
        alias("UpdateAlias", R"("Name":"w","RoutingConfig":{"AdditionalVersionWeights":{}})");
    EXPECT_EQ(json_at(cleared.json, "/RoutingConfig"), "(none)");
    EXPECT_EQ(version_of("w"), "1");
}

TEST_F(Versions, AliasesAreListedByNameAndByVersion) {
    (void)publish();
    change(9);
    (void)publish();
    for (const char* name : {"c", "a", "b"}) {
        const std::string version = *name == 'b' ? "2" : "1";
        ASSERT_EQ(
            alias(
                "CreateAlias", fmt::format(R"("Name":"{}","FunctionVersion":"{}")", name, version)
            )
                .status,
            201
        );
    }
    const std::string page = alias("ListAliases", R"("MaxItems":2)").json;
    EXPECT_EQ(json_at(page, "/Aliases/0/Name"), "a");
    EXPECT_EQ(json_at(page, "/Aliases/1/Name"), "b");
    EXPECT_EQ(json_at(page, "/NextMarker"), "b");
    const std::string next = alias("ListAliases", R"("MaxItems":2,"Marker":"b")").json;
    EXPECT_EQ(json_at(next, "/Aliases/0/Name"), "c");
    EXPECT_EQ(json_at(next, "/NextMarker"), "(none)");
    const std::string of_two = alias("ListAliases", R"("FunctionVersion":"2")").json;
    EXPECT_EQ(json_at(of_two, "/Aliases/0/Name"), "b");
    EXPECT_EQ(json_at(of_two, "/Aliases/1"), "(none)");
}

TEST_F(Versions, EverythingIsThereAfterARestart) {
    (void)publish();
    change(9);
    (void)publish();
    (void)alias(
        "CreateAlias",
        R"("Name":"w","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":1}})"
    );
    (void)call(
        "AddPermission",
        R"({"FunctionName":"f","StatementId":"s","Action":"lambda:InvokeFunction",
            "Principal":"s3.amazonaws.com"})"
    );
    (void)call("DeleteFunction", R"({"FunctionName":"f:2"})");
    const std::string before = call("GetFunction", R"({"FunctionName":"f:w"})").json +
                               call("GetPolicy", R"({"FunctionName":"f"})").json;
    const std::string state = dir_.path() + "/state";
    const TempDir copy{memory_base()};
    // A second engine on a copy: the first one still has its lock.
    std::filesystem::copy(state, copy.path() + "/state", std::filesystem::copy_options::recursive);
    Engine again(copy.path() + "/state");
    const std::string after = again.call("GetFunction", R"({"FunctionName":"f:w"})").json +
                              again.call("GetPolicy", R"({"FunctionName":"f"})").json;
    const auto without_path = [](std::string text, const std::string& path) {
        const std::size_t at = text.find(path);
        return at == std::string::npos ? text : text.replace(at, path.size(), "STATE");
    };
    EXPECT_EQ(without_path(after, copy.path()), without_path(before, dir_.path()));
    EXPECT_EQ(again.registry->find("f", "w")->function->version, "2");
    EXPECT_EQ(
        json_at(again.call("PublishVersion", R"({"FunctionName":"f"})").json, "/Version"), "2"
    );
}

TEST_F(Versions, ProvisionedInstancesBelongToVersionsOrAliasesNotBoth) {
    (void)publish();
    change(9);
    (void)publish();
    (void)alias("CreateAlias", R"("Name":"a","FunctionVersion":"1")");
    const auto put = [this](const std::string& qualifier, int count) {
        return call(
            "PutProvisionedConcurrencyConfig",
            fmt::format(
                R"({{"FunctionName":"f","Qualifier":"{}","ProvisionedConcurrentExecutions":{}}})",
                qualifier,
                count
            )
        );
    };
    const auto count_of = [this](const std::string& qualifier) {
        return engine_.registry->find("f", qualifier)->function->provisioned_count;
    };
    EXPECT_EQ(put("a", 4).status, 202);
    EXPECT_EQ(count_of("1"), 4U);
    EXPECT_EQ(changes_.back().after->version, "1");
    expect_refused(
        put("1", 1), 409, kConflict, "Version is pointed by a Provisioned Concurrency alias"
    );
    EXPECT_EQ(put("2", 3).status, 202);
    (void)alias("CreateAlias", R"("Name":"b","FunctionVersion":"2")");
    expect_refused(
        put("b", 1),
        409,
        kConflict,
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned "
        "version"
    );
    const std::string listed =
        call("ListProvisionedConcurrencyConfigs", R"({"FunctionName":"f"})").json;
    EXPECT_EQ(
        json_at(listed, "/ProvisionedConcurrencyConfigs/0/FunctionArn"), std::string(kArn) + ":2"
    );
    EXPECT_EQ(
        json_at(listed, "/ProvisionedConcurrencyConfigs/1/FunctionArn"), std::string(kArn) + ":a"
    );
    expect_refused(
        put("c", 1), 404, kMissing, std::string("Cannot find alias arn: ") + kArn + ":c"
    );
    // An alias takes its instances along, and shares them out by weight.
    change(11);
    (void)publish();
    (void)alias("UpdateAlias", R"("Name":"a","FunctionVersion":"3")");
    EXPECT_EQ(count_of("1"), 0U);
    EXPECT_EQ(count_of("3"), 4U);
    (void
    )alias("UpdateAlias", R"("Name":"a","RoutingConfig":{"AdditionalVersionWeights":{"1":0.25}})");
    EXPECT_EQ(count_of("1"), 1U);
    EXPECT_EQ(count_of("3"), 3U);
    (void)alias("DeleteAlias", R"("Name":"a")");
    EXPECT_EQ(count_of("1") + count_of("3"), 0U);
}

}  // namespace
}  // namespace hako::registry
