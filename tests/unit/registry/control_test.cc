#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "tests/unit/registry/control_fixture.h"

namespace hako::registry {
namespace {

TEST_F(Control, RefusesBrokenRequests) {
    expect_refused(
        call("DropTables", "{}"),
        404,
        "UnknownOperationException",
        "hako does not know the operation 'DropTables'."
    );
    EXPECT_EQ(call("GetFunction", "{").error_code, "InvalidRequestContentException");
    EXPECT_EQ(call("GetFunction", "[1]").error_code, "InvalidRequestContentException");
    EXPECT_EQ(
        call("GetFunction", "{\"FunctionName\":" + std::string(100, '[')).error_code,
        "InvalidRequestContentException"
    );
    expect_refused(
        call("CreateFunction", std::string(70167212, ' ')),
        413,
        "RequestEntityTooLargeException",
        "Request must be smaller than 70167211 bytes for the CreateFunction operation"
    );
    expect_refused(
        call("GetFunction", R"({"FunctionName":"f"})", "blob"),
        400,
        "InvalidParameterValueException",
        "GetFunction takes no code package."
    );
}

TEST_F(Control, UpdateConfigurationChangesWhatIsGivenAndTheIdentity) {
    engine_.create("f", zip_);
    const FunctionRef before = engine_.registry->get("f");
    const ControlAnswer answer = call(
        "UpdateFunctionConfiguration",
        R"({"FunctionName":"f","Timeout":7,"Environment":{"Variables":{"Kk":"v"}},"RevisionId":")" +
            before->revision_id + "\"}"
    );
    ASSERT_EQ(answer.status, 200) << answer.json;
    EXPECT_EQ(json_at(answer.json, "/LastUpdateStatus"), "Successful");
    const FunctionRef after = engine_.registry->get("f");
    EXPECT_GT(after->id, before->id);
    EXPECT_NE(after->revision_id, before->revision_id);
    EXPECT_EQ(after->timeout_s, 7U);
    EXPECT_EQ(after->memory_mib, before->memory_mib);
    EXPECT_EQ(after->code_id, before->code_id);
    EXPECT_EQ(before->timeout_s, 3U) << "versions are immutable";
    EXPECT_EQ(changes_.back().before, before);
    EXPECT_EQ(changes_.back().after, after);
    // The environment is replaced as a whole, and kept if not given.
    call("UpdateFunctionConfiguration", R"({"FunctionName":"f","MemorySize":256})");
    EXPECT_EQ(engine_.registry->get("f")->environment, after->environment);
    call("UpdateFunctionConfiguration", R"({"FunctionName":"f","Environment":{"Variables":{}}})");
    EXPECT_TRUE(engine_.registry->get("f")->environment.empty());
}

TEST_F(Control, UpdateConfigurationChecksRuntimeAgainstHandler) {
    engine_.create("f", zip_);
    expect_refused(
        call("UpdateFunctionConfiguration", R"({"FunctionName":"f","Handler":"nodot"})"),
        400,
        "InvalidParameterValueException",
        "The handler 'nodot' of a python3.12 function must be of the form module.function."
    );
    EXPECT_EQ(
        call(
            "UpdateFunctionConfiguration",
            R"({"FunctionName":"f","Handler":"nodot","Runtime":"native"})"
        )
            .status,
        200
    );
    EXPECT_EQ(engine_.registry->get("f")->kind, spawner::RuntimeKind::kNative);
}

TEST_F(Control, UpdatesRefuseAnotherRevision) {
    engine_.create("f", zip_);
    const std::string text =
        "The Revision Id provided does not match the latest Revision Id. Call the "
        "GetFunction/GetAlias API to retrieve the latest Revision Id";
    expect_refused(
        call("UpdateFunctionConfiguration", R"({"FunctionName":"f","RevisionId":"x"})"),
        412,
        "PreconditionFailedException",
        text
    );
    expect_refused(
        call("UpdateFunctionCode", R"({"FunctionName":"f","RevisionId":"x"})", zip_),
        412,
        "PreconditionFailedException",
        text
    );
}

TEST_F(Control, UpdateCodeReplacesThePackageAndDropsTheOld) {
    engine_.create("f", zip_);
    FunctionRef before = engine_.registry->get("f");
    const std::string old_path = engine_.code->package_path(before->code_id);
    const std::string zip = python_zip("new");
    const ControlAnswer dry =
        call("UpdateFunctionCode", R"({"FunctionName":"f","DryRun":true})", zip);
    EXPECT_EQ(dry.status, 200);
    EXPECT_EQ(json_at(dry.json, "/CodeSha256"), to_base64(sha256(bytes_of(zip))));
    EXPECT_EQ(engine_.registry->get("f"), before);
    EXPECT_EQ(tree_of(dir_.path() + "/state/code").size(), 3U) << "a dry run leaves nothing";
    const ControlAnswer answer =
        call("UpdateFunctionCode", R"({"FunctionName":"f","ZipFile":")" + base64_of(zip) + "\"}");
    ASSERT_EQ(answer.status, 200) << answer.json;
    const FunctionRef after = engine_.registry->get("f");
    EXPECT_GT(after->id, before->id);
    EXPECT_EQ(after->code_id, to_hex(sha256(bytes_of(zip))));
    EXPECT_EQ(after->code_bytes, zip.size());
    // Instances hold the old version: its code stays until the last one is gone.
    EXPECT_TRUE(std::filesystem::exists(old_path));
    changes_.clear();
    before.reset();
    engine_.control->collect_code();
    EXPECT_FALSE(std::filesystem::exists(old_path));
    expect_refused(
        call("UpdateFunctionCode", R"({"FunctionName":"f"})", "no zip"),
        400,
        "InvalidParameterValueException",
        "Could not unzip uploaded file. Please check your file, then try to upload again. hako: it "
        "is not a zip, or it is truncated."
    );
    EXPECT_EQ(engine_.registry->get("f"), after);
    expect_refused(
        call("UpdateFunctionCode", R"({"FunctionName":"f"})"),
        400,
        "InvalidParameterValueException",
        "Please provide a source for function code."
    );
}

TEST_F(Control, KeepsCodeThatAnotherFunctionShares) {
    engine_.create("f", zip_);
    engine_.create("g", zip_);
    const std::string path = engine_.code->package_path(engine_.registry->get("g")->code_id);
    changes_.clear();
    EXPECT_EQ(call("DeleteFunction", R"({"FunctionName":"f"})").status, 204);
    changes_.clear();
    engine_.control->collect_code();
    EXPECT_TRUE(std::filesystem::exists(path));
    EXPECT_EQ(call("DeleteFunction", R"({"FunctionName":"g"})").status, 204);
    changes_.clear();
    engine_.control->collect_code();
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Control, EveryOperationOnAnUnknownFunctionSaysSo) {
    const std::string text = std::string("Function not found: ") + kArn;
    const std::vector<std::pair<const char*, std::string>> operations = {
        {"UpdateFunctionCode", ""},
        {"UpdateFunctionConfiguration", ""},
        {"GetFunction", ""},
        {"GetFunctionConfiguration", ""},
        {"DeleteFunction", ""},
        {"GetFunctionConcurrency", ""},
        {"DeleteFunctionConcurrency", ""},
        {"PutFunctionConcurrency", R"(,"ReservedConcurrentExecutions":1)"},
    };
    for (const auto& [operation, members] : operations) {
        const bool is_code = std::string_view(operation) == "UpdateFunctionCode";
        expect_refused(
            call(operation, R"({"FunctionName":"f")" + members + "}", is_code ? zip_ : ""),
            404,
            "ResourceNotFoundException",
            text
        );
    }
    for (const char* operation :
         {"GetProvisionedConcurrencyConfig", "DeleteProvisionedConcurrencyConfig"}) {
        expect_refused(
            call(operation, R"({"FunctionName":"f","Qualifier":"$LATEST"})"),
            404,
            "ResourceNotFoundException",
            text + ":$LATEST"
        );
    }
}

TEST_F(Control, GetQualifiesTheArnLikeTheRequest) {
    engine_.create("f", zip_);
    const auto arn = [this](const std::string& json) {
        return json_at(call("GetFunctionConfiguration", json).json, "/FunctionArn");
    };
    EXPECT_EQ(arn(R"({"FunctionName":"f"})"), kArn);
    EXPECT_EQ(arn(R"({"FunctionName":"f","Qualifier":"$LATEST"})"), std::string(kArn) + ":$LATEST");
    expect_refused(
        call("GetFunction", R"({"FunctionName":"f","Qualifier":"3"})"),
        404,
        "ResourceNotFoundException",
        std::string("Function not found: ") + kArn + ":3"
    );
}

TEST_F(Control, DeleteRemovesTheFunctionButNotItsLatestVersionAlone) {
    engine_.create("f", zip_);
    expect_refused(
        call("DeleteFunction", R"({"FunctionName":"f","Qualifier":"$LATEST"})"),
        400,
        "InvalidParameterValueException",
        "$LATEST version cannot be deleted without deleting the function."
    );
    EXPECT_EQ(call("DeleteFunction", R"({"FunctionName":"f:1"})").status, 204) << "as Lambda";
    ASSERT_NE(engine_.registry->get("f"), nullptr);
    const ControlAnswer answer = call("DeleteFunction", R"({"FunctionName":"f"})");
    EXPECT_EQ(answer.status, 204);
    EXPECT_EQ(answer.json, "");
    EXPECT_EQ(changes_.back().after, nullptr);
    EXPECT_EQ(changes_.back().before->name, "f");
    EXPECT_EQ(engine_.registry->get("f"), nullptr);
}

TEST_F(Control, ListsInPages) {
    for (int i = 0; i < 53; ++i) {
        engine_.create(fmt::format("f{}", 100 + i), zip_);
    }
    const ControlAnswer first = call("ListFunctions", "{}");
    EXPECT_EQ(json_at(first.json, "/NextMarker"), "f149");
    EXPECT_EQ(json_at(first.json, "/Functions/0/FunctionName"), "f100");
    EXPECT_EQ(json_at(first.json, "/Functions/49/FunctionName"), "f149");
    EXPECT_EQ(json_at(first.json, "/Functions/50"), "(none)");
    const ControlAnswer second = call("ListFunctions", R"({"Marker":"f149"})");
    EXPECT_EQ(json_at(second.json, "/NextMarker"), "(none)");
    EXPECT_EQ(json_at(second.json, "/Functions/2/FunctionName"), "f152");
    EXPECT_EQ(json_at(second.json, "/Functions/3"), "(none)");
    const ControlAnswer one = call("ListFunctions", R"({"MaxItems":1,"FunctionVersion":"ALL"})");
    EXPECT_EQ(json_at(one.json, "/NextMarker"), "f100:$LATEST");
    EXPECT_TRUE(json_at(one.json, "/Functions/0/FunctionArn").ends_with(":f100:$LATEST"));
    EXPECT_EQ(json_at(call("ListFunctions", R"({"Marker":"z"})").json, "/Functions"), "[]");
    expect_refused(
        call("ListFunctions", R"({"MaxItems":0})"),
        400,
        "ValidationException",
        constraint("0", "maxItems", "Member must have value greater than or equal to 1")
    );
}

TEST_F(Control, AccountSettingsSumUp) {
    engine_.create("f", zip_);
    engine_.create("g", zip_);
    const std::string json = call("GetAccountSettings", "{}").json;
    EXPECT_EQ(
        json,
        R"({"AccountLimit":{"TotalCodeSize":80530636800,"CodeSizeUnzipped":262144000,)"
        R"("CodeSizeZipped":52428800,"ConcurrentExecutions":1000,)"
        R"("UnreservedConcurrentExecutions":1000},"AccountUsage":{"TotalCodeSize":)" +
            std::to_string(2 * zip_.size()) + R"(,"FunctionCount":2}})"
    );
}

TEST_F(Control, SerialisesOperationsOnOneFunction) {
    engine_.create("f", zip_);
    engine_.create("g", zip_);
    const std::vector<std::pair<const char*, std::string>> operations = {
        {"UpdateFunctionConfiguration", R"({"FunctionName":"f","Timeout":9})"},
        {"UpdateFunctionCode", R"({"FunctionName":"f","ZipFile":")" + base64_of(zip_) + "\"}"},
        {"DeleteFunction", R"({"FunctionName":"f"})"},
        {"PutFunctionConcurrency", R"({"FunctionName":"f","ReservedConcurrentExecutions":1})"},
        {"DeleteFunctionConcurrency", R"({"FunctionName":"f"})"},
        {"PutProvisionedConcurrencyConfig",
         R"({"FunctionName":"f","Qualifier":"$LATEST","ProvisionedConcurrentExecutions":1})"},
    };
    for (const auto& [operation, json] : operations) {
        ControlAnswer inner;
        int other_status = 0;
        engine_.runner.before = [&] {
            inner = call(operation, json);
            other_status =
                call("UpdateFunctionConfiguration", R"({"FunctionName":"g","Timeout":5})").status;
        };
        const ControlAnswer outer =
            call("UpdateFunctionConfiguration", R"({"FunctionName":"f","Timeout":8})");
        EXPECT_EQ(outer.status, 200) << outer.json;
        expect_refused(inner, 409, "ResourceConflictException", kUpdating);
        EXPECT_EQ(other_status, 200) << "another function is not held up";
    }
    EXPECT_EQ(
        call("UpdateFunctionConfiguration", R"({"FunctionName":"f","Timeout":9})").status, 200
    ) << "the mark is gone";
}

TEST_F(Control, TwoCreatesOfOneNameGiveOneFunction) {
    const std::string json = R"({"FunctionName":"f","Runtime":"python3.12","Handler":"a.b"})";
    ControlAnswer inner;
    engine_.runner.before = [&] { inner = call("CreateFunction", json, zip_); };
    EXPECT_EQ(call("CreateFunction", json, zip_).status, 201);
    expect_refused(inner, 409, "ResourceConflictException", kUpdating);
    EXPECT_EQ(engine_.registry->functions_count(), 1U);
}

TEST(ControlRestart, BringsEverythingBack) {
    const TempDir dir;
    FunctionVersion before;
    {
        Engine engine(dir.path() + "/state");
        engine.create("gone", python_zip("gone"));
        engine.create("f", python_zip());
        engine.call(
            "UpdateFunctionConfiguration",
            R"({"FunctionName":"f","Environment":{"Variables":{"Kk":"v"}}})"
        );
        engine.call(
            "PutFunctionConcurrency", R"({"FunctionName":"f","ReservedConcurrentExecutions":7})"
        );
        engine.call(
            "PutProvisionedConcurrencyConfig",
            R"({"FunctionName":"f","Qualifier":"$LATEST","ProvisionedConcurrentExecutions":2})"
        );
        engine.call("DeleteFunction", R"({"FunctionName":"gone"})");
        before = *engine.registry->get("f");
        before.code.reset();
    }
    Engine engine(dir.path() + "/state");
    EXPECT_EQ(engine.report.functions_count, 1U);
    EXPECT_EQ(engine.report.code.packages_missing_count, 0U);
    const FunctionRef after = engine.registry->get("f");
    ASSERT_NE(after, nullptr);
    EXPECT_EQ(after->id, before.id);
    EXPECT_EQ(after->arn, before.arn);
    EXPECT_EQ(after->kind, before.kind);
    EXPECT_EQ(after->revision_id, before.revision_id);
    EXPECT_EQ(after->environment, before.environment);
    EXPECT_EQ(after->common->reserved_concurrency, 7U);
    EXPECT_EQ(after->provisioned_count, 2U);
    EXPECT_EQ(after->provisioned_modified, before.provisioned_modified);
    EXPECT_TRUE(std::filesystem::exists(engine.code->package_path(after->code_id)));
    engine.create("new", python_zip());
    EXPECT_GT(engine.registry->get("new")->id, before.id);
}

TEST(ControlDisk, AFailedWriteChangesNothing) {
    const TempDir dir;
    const std::string state = dir.path() + "/state";
    Engine engine(state);
    engine.create("f", python_zip());
    const FunctionRef before = engine.registry->get("f");
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((state + "/registry.db").c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, "DROP TABLE versions", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
    const ControlAnswer answer =
        engine.call("UpdateFunctionCode", R"({"FunctionName":"f"})", python_zip("new"));
    EXPECT_EQ(answer.status, 500);
    EXPECT_EQ(answer.error_code, "ServiceException");
    EXPECT_NE(message_of(answer).find("no such table"), std::string::npos) << answer.json;
    EXPECT_EQ(engine.registry->get("f"), before);
    EXPECT_EQ(tree_of(state + "/code").size(), 3U) << "the new package must not stay";
}

TEST_F(Control, TakesALargePackageAsBase64) {
    engine_.create("f", zip_);
    // Does not deflate, so the request is beyond what is parsed on the loop.
    std::string noise;
    for (int i = 0; i < 4000; ++i) {
        noise += make_uuid();
    }
    const std::string zip = python_zip(noise);
    ASSERT_GT(zip.size(), 50000U);
    bool offloaded = false;
    engine_.runner.before = [&offloaded] { offloaded = true; };
    const ControlAnswer answer =
        call("UpdateFunctionCode", R"({"FunctionName":"f","ZipFile":")" + base64_of(zip) + "\"}");
    ASSERT_EQ(answer.status, 200) << answer.json;
    EXPECT_TRUE(offloaded);
    EXPECT_EQ(json_at(answer.json, "/CodeSize"), std::to_string(zip.size()));
}

TEST_F(Control, LeaksNoDescriptors) {
    const std::size_t before = open_fds_count();
    engine_.create("f", zip_);
    call("UpdateFunctionCode", R"({"FunctionName":"f"})", python_zip("new"));
    call("UpdateFunctionCode", R"({"FunctionName":"f"})", "no zip");
    call("DeleteFunction", R"({"FunctionName":"f"})");
    EXPECT_EQ(open_fds_count(), before);
}

}  // namespace
}  // namespace hako::registry
