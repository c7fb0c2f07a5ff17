#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "engine/registry/digest.h"
#include "engine/registry/validation.h"
#include "tests/unit/registry/fixture.h"

namespace hako::registry {
namespace {

constexpr const char* kArn = "arn:aws:lambda:us-east-1:123456789012:function:f";
constexpr const char* kUpdating =
    "The operation cannot be performed at this time. An update is in progress for resource: "
    "arn:aws:lambda:us-east-1:123456789012:function:f";
constexpr const char* kUnqualified =
    "This operation is permitted on Lambda functions only. Aliases and versions do not support "
    "this operation. Please specify either a function name or an unqualified function ARN.";

std::string base64_of(std::string_view text) {
    return to_base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

std::string message_of(const ControlAnswer& answer) {
    const std::string message = json_at(answer.json, "/message");
    return message == "(none)" ? json_at(answer.json, "/Message") : message;
}

struct Change {
    FunctionRef before;
    FunctionRef after;
};

class Control : public testing::Test {
protected:
    Control()
        : engine_(
              dir_.path() + "/state",
              {.on_change = [this](
                                const FunctionRef& before, const FunctionRef& after
                            ) { changes_.push_back({before, after}); }}
          ) {}

    ControlAnswer call(
        std::string_view operation, std::string_view json, std::string_view zip = {}
    ) {
        return engine_.call(operation, json, zip);
    }
    void expect_refused(
        const ControlAnswer& answer, int status, std::string_view code, const std::string& message
    ) {
        EXPECT_EQ(answer.status, status) << answer.json;
        EXPECT_EQ(answer.error_code, code);
        EXPECT_EQ(message_of(answer), message);
    }

    TempDir dir_{memory_base()};
    std::vector<Change> changes_;
    Engine engine_;
    const std::string zip_ = python_zip();
};

TEST_F(Control, CreateAnswersWithEveryMemberAndDefault) {
    const ControlAnswer answer = call(
        "CreateFunction",
        R"({"FunctionName":"f","Runtime":"python3.12","Handler":"handler.handle"})",
        zip_
    );
    ASSERT_EQ(answer.status, 201) << answer.json;
    const std::vector<std::pair<const char*, std::string>> expected = {
        {"/FunctionName", "f"},
        {"/FunctionArn", kArn},
        {"/Runtime", "python3.12"},
        {"/Role", "arn:aws:iam::123456789012:role/hako"},
        {"/Handler", "handler.handle"},
        {"/CodeSize", std::to_string(zip_.size())},
        {"/CodeSha256", to_base64(sha256(bytes_of(zip_)))},
        {"/Description", ""},
        {"/Timeout", "3"},
        {"/MemorySize", "128"},
        {"/Version", "$LATEST"},
        {"/TracingConfig/Mode", "PassThrough"},
        {"/State", "Active"},
        {"/PackageType", "Zip"},
        {"/EphemeralStorage/Size", "512"},
        {"/SnapStart/ApplyOn", "None"},
        {"/SnapStart/OptimizationStatus", "Off"},
        {"/LoggingConfig/LogFormat", "Text"},
        {"/LoggingConfig/LogGroup", "/aws/lambda/f"},
        {"/Environment", "(none)"},
        {"/LastUpdateStatus", "(none)"},
    };
    for (const auto& [pointer, value] : expected) {
        EXPECT_EQ(json_at(answer.json, pointer), value) << pointer;
    }
    EXPECT_EQ(json_at(answer.json, "/RevisionId").size(), 36U);
    EXPECT_EQ(json_at(answer.json, "/LastModified").size(), 28U);
    ASSERT_EQ(changes_.size(), 1U);
    EXPECT_EQ(changes_[0].before, nullptr);
    EXPECT_EQ(changes_[0].after, engine_.registry->get("f"));
}

TEST_F(Control, CreateTakesEveryMember) {
    const ControlAnswer answer = call(
        "CreateFunction",
        R"({"FunctionName":")" + std::string(kArn) +
            R"(","Runtime":"executable","Handler":"bin/run",
            "Role":"arn:aws:iam::123456789012:role/r","Description":"d","Timeout":900,
            "MemorySize":10240,"Publish":false,"VpcConfig":{"SubnetIds":[],"SecurityGroupIds":[]},
            "PackageType":"Zip","DeadLetterConfig":{},"Environment":{"Variables":{"Kk":"v\"1"}},
            "KMSKeyArn":"","TracingConfig":{"Mode":"Active"},"Tags":{"a":"b"},"Layers":[],
            "FileSystemConfigs":null,"Architectures":["x86_64"],"EphemeralStorage":{"Size":1024},
            "SnapStart":{"ApplyOn":"None"},
            "LoggingConfig":{"LogFormat":"Text","LogGroup":"/aws/lambda/f"},
            "Code":{"ZipFile":")" +
            base64_of(zip_) + "\"}}"
    );
    ASSERT_EQ(answer.status, 201) << answer.json;
    const FunctionRef function = engine_.registry->get("f");
    ASSERT_NE(function, nullptr);
    EXPECT_EQ(function->kind, spawner::RuntimeKind::kExecutable);
    EXPECT_EQ(function->timeout_s, 900U);
    EXPECT_EQ(function->memory_mib, 10240U);
    EXPECT_EQ(function->ephemeral_mib, 1024U);
    EXPECT_EQ(json_at(answer.json, "/Environment/Variables/Kk"), "v\"1");
    EXPECT_EQ(json_at(answer.json, "/TracingConfig/Mode"), "Active");
    const ControlAnswer get = call("GetFunction", R"({"FunctionName":"f"})");
    EXPECT_EQ(json_at(get.json, "/Tags/a"), "b");
    EXPECT_EQ(json_at(get.json, "/Configuration/LastUpdateStatus"), "Successful");
    EXPECT_EQ(json_at(get.json, "/Code/RepositoryType"), "S3");
    EXPECT_EQ(
        json_at(get.json, "/Code/Location"),
        "file://" + dir_.path() + "/state/code/" + function->code_id
    );
}

TEST_F(Control, ShowsAnEmptyEnvironmentThatWasGiven) {
    const ControlAnswer answer = call(
        "CreateFunction",
        R"({"FunctionName":"f","Runtime":"python3.8","Handler":"a.b","Environment":{}})",
        zip_
    );
    EXPECT_EQ(json_at(answer.json, "/Environment"), R"({"Variables":{}})");
}

struct Refused {
    std::string members;  // of CreateFunction, behind FunctionName, Runtime and Handler
    std::string code;
    std::string message;
};

std::string constraint(const std::string& value, const std::string& path, const std::string& rule) {
    return "1 validation error detected: Value '" + value + "' at '" + path +
           "' failed to satisfy constraint: " + rule;
}

std::vector<Refused> refused_members() {
    const std::string validation = "ValidationException";
    const std::string parameter = "InvalidParameterValueException";
    const std::string content = "InvalidRequestContentException";
    const std::string unsupported = " is not supported by hako: leave it out or empty.";
    const std::string json = "Could not parse request body into json: ";
    const std::string long_value(4096, 'v');
    const std::string d257(257, 'd');
    const std::string h129(129, 'h');
    return {
        {R"("MemorySize":64)",
         validation,
         constraint("64", "memorySize", "Member must have value greater than or equal to 128")},
        {R"("MemorySize":10241)",
         validation,
         constraint("10241", "memorySize", "Member must have value less than or equal to 10240")},
        {R"("Timeout":0)",
         validation,
         constraint("0", "timeout", "Member must have value greater than or equal to 1")},
        {R"("Timeout":901)",
         validation,
         constraint("901", "timeout", "Member must have value less than or equal to 900")},
        {R"("EphemeralStorage":{"Size":511})",
         validation,
         constraint(
             "511", "ephemeralStorage.size", "Member must have value greater than or equal to 512"
         )},
        {R"("Timeout":0,"MemorySize":1)",
         validation,
         "2 validation errors detected: Value '1' at 'memorySize' failed to satisfy constraint: "
         "Member must have value greater than or equal to 128; Value '0' at 'timeout' failed to "
         "satisfy constraint: Member must have value greater than or equal to 1"},
        {R"("Description":")" + d257 + "\"",
         validation,
         constraint(d257, "description", "Member must have length less than or equal to 256")},
        {R"("Role":"me")",
         validation,
         constraint(
             "me",
             "role",
             "Member must satisfy regular expression pattern: "
             "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+"
         )},
        {R"("PackageType":"Tar")",
         validation,
         constraint("Tar", "packageType", "Member must satisfy enum value set: [Zip, Image]")},
        {R"("TracingConfig":{"Mode":"On"})",
         validation,
         constraint(
             "On", "tracingConfig.mode", "Member must satisfy enum value set: [Active, PassThrough]"
         )},
        {R"("Environment":{"Variables":{"1a":"x"}})",
         validation,
         "1 validation error detected: Value at 'environment.variables' failed to satisfy "
         "constraint: Map keys must satisfy constraint: [Member must satisfy regular expression "
         "pattern: [a-zA-Z]([a-zA-Z0-9_])+]"},
        {R"("Environment":{"Variables":{"AWS_REGION":"x","ok":"y","_HANDLER":"z"}})",
         parameter,
         "Lambda was unable to configure your environment variables because the environment "
         "variables you have provided contains reserved keys that are currently not supported for "
         "modification. Reserved keys used in this request: AWS_REGION, _HANDLER"},
        {R"("Environment":{"Variables":{"kk":")" + long_value + "\"}}",
         parameter,
         "Lambda was unable to configure your environment variables because the environment "
         "variables you have provided exceeded the 4KB limit. String measured: {\"kk\":\"" +
             long_value + "\"}"},
        {R"("Environment":{"Variables":{"kk":"a\u0000b"}})",
         parameter,
         "The value of the environment variable 'kk' has a NUL in it."},
        {R"("Environment":{"Variables":{"kk":"a","kk":"b"}})",
         content,
         json + "'Variables.kk' is there twice"},
        {R"("Environment":{"Variables":{"kk":1}})",
         content,
         json + "'Variables.kk' must be a string"},
        {R"("Environment":{"Vars":{}})",
         parameter,
         "Member 'Vars' is not known to Environment: hako does not ignore what it does not know."},
        {R"("Memory":128)",
         parameter,
         "Member 'Memory' is not known to CreateFunction: hako does not ignore what it does not "
         "know."},
        {R"("RevisionId":"x")",
         parameter,
         "Member 'RevisionId' is not known to CreateFunction: hako does not ignore what it does "
         "not know."},
        {R"("MemorySize":"128")", content, json + "'MemorySize' must be an integer"},
        {R"("MemorySize":128.5)", content, json + "'MemorySize' must be an integer"},
        {R"("Description":5)", content, json + "'Description' must be a string"},
        {R"("Timeout":3,"Timeout":4)", content, json + "'Timeout' is there twice"},
        {R"("Publish":true)", parameter, "Member 'Publish'" + unsupported},
        {R"("Layers":["arn:x"])", parameter, "Member 'Layers'" + unsupported},
        {R"("VpcConfig":{"SubnetIds":["subnet-1"]})", parameter, "Member 'VpcConfig'" + unsupported
        },
        {R"("DeadLetterConfig":{"TargetArn":"arn:x"})",
         parameter,
         "Member 'DeadLetterConfig'" + unsupported},
        {R"("KMSKeyArn":"arn:x")", parameter, "Member 'KMSKeyArn'" + unsupported},
        {R"("FileSystemConfigs":[{}])", parameter, "Member 'FileSystemConfigs'" + unsupported},
        {R"("PackageType":"Image")",
         parameter,
         "Member 'PackageType' is not supported by hako but for 'Zip'."},
        {R"("SnapStart":{"ApplyOn":"PublishedVersions"})",
         parameter,
         "Member 'SnapStart.ApplyOn' is not supported by hako but for 'None'."},
        {R"("LoggingConfig":{"LogGroup":"mine"})",
         parameter,
         "Member 'LoggingConfig.LogGroup' is not supported by hako but for '/aws/lambda/f'."},
        {R"("Code":{"S3Bucket":"bucket","S3Key":"key"})",
         parameter,
         "Please do not provide other FunctionCode parameters when providing a ZipFile."},
        {R"("Code":{"ZipFile":"!"})", content, json + "'ZipFile' must be base64"},
        {R"("Code":{"ZipFile":""})",
         parameter,
         "The code package was given twice: as the frame's payload and as ZipFile."},
        {R"("Handler":" ")", content, json + "'Handler' is there twice"},
        {h129, content, ""},
    };
}

TEST_F(Control, CreateRefusesWithLambdasTexts) {
    for (const Refused& refused : refused_members()) {
        const ControlAnswer answer = call(
            "CreateFunction",
            R"({"FunctionName":"f","Runtime":"python3.12","Handler":"a.b",)" + refused.members +
                "}",
            zip_
        );
        EXPECT_EQ(answer.status, 400) << refused.members;
        EXPECT_EQ(answer.error_code, refused.code) << refused.members;
        if (!refused.message.empty()) {
            EXPECT_EQ(message_of(answer), refused.message) << refused.members;
        }
    }
    EXPECT_EQ(engine_.registry->functions_count(), 0U);
    EXPECT_TRUE(tree_of(dir_.path() + "/state/code").empty());
    EXPECT_TRUE(changes_.empty());
}

TEST_F(Control, CreateRefusesWhatIsMissing) {
    const std::string runtime_and_handler =
        "Runtime and Handler are mandatory parameters for functions created with deployment "
        "packages.";
    expect_refused(
        call("CreateFunction", R"({"Runtime":"native","Handler":"h"})", zip_),
        400,
        "ValidationException",
        "1 validation error detected: Value null at 'functionName' failed to satisfy constraint: "
        "Member must not be null"
    );
    expect_refused(
        call("CreateFunction", R"({"FunctionName":"f","Runtime":"native","Handler":"h"})"),
        400,
        "ValidationException",
        "1 validation error detected: Value null at 'code' failed to satisfy constraint: Member "
        "must not be null"
    );
    expect_refused(
        call("CreateFunction", R"({"FunctionName":"f","Runtime":"native"})", zip_),
        400,
        "InvalidParameterValueException",
        runtime_and_handler
    );
    expect_refused(
        call("CreateFunction", R"({"FunctionName":"f","Handler":"h"})", zip_),
        400,
        "InvalidParameterValueException",
        runtime_and_handler
    );
    expect_refused(
        call(
            "CreateFunction", R"({"FunctionName":"f","Runtime":"native","Handler":"h","Code":{}})"
        ),
        400,
        "InvalidParameterValueException",
        "Please provide a source for function code."
    );
    expect_refused(
        call(
            "CreateFunction",
            R"({"FunctionName":"f","Runtime":"native","Handler":"h","Code":{"S3Bucket":"b"}})"
        ),
        400,
        "InvalidParameterValueException",
        "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The "
        "specified bucket does not exist. hako: there is no S3 here, send the code as ZipFile."
    );
    expect_refused(
        call(
            "CreateFunction",
            R"({"FunctionName":"f","Runtime":"native","Handler":"h","Code":{"ZipFile":""}})"
        ),
        400,
        "InvalidParameterValueException",
        "Uploaded file must be a non-empty zip"
    );
}

TEST_F(Control, CreateChecksRuntimeHandlerNameAndZip) {
    const auto create = [this](
                            const std::string& name,
                            const std::string& runtime,
                            const std::string& handler,
                            const std::string& zip
                        ) {
        return call(
            "CreateFunction",
            R"({"FunctionName":")" + name + R"(","Runtime":")" + runtime + R"(","Handler":")" +
                handler + "\"}",
            zip
        );
    };
    expect_refused(
        create("f", "cobol", "a.b", zip_),
        400,
        "InvalidParameterValueException",
        "Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value "
        "set: [native, executable, python3.8, python3.9, python3.10, python3.11, python3.12, "
        "python3.13, python3.14] or be a valid ARN"
    );
    expect_refused(
        create("f", "python3.12", "handler", zip_),
        400,
        "InvalidParameterValueException",
        "The handler 'handler' of a python3.12 function must be of the form module.function."
    );
    for (const char* handler : {"../run", "/bin/sh", "a/../b", "dir/", "a//b", "a\\\\b"}) {
        EXPECT_EQ(create("f", "executable", handler, zip_).status, 400) << handler;
        EXPECT_EQ(create("f", "native", handler, zip_).status, 400) << handler;
    }
    for (const char* handler : {".b", "a.", "../a.b", "/a.b", "a.b/c"}) {
        EXPECT_EQ(create("f", "python3.12", handler, zip_).status, 400) << handler;
    }
    expect_refused(
        create("f", "native", "a b", zip_),
        400,
        "ValidationException",
        constraint("a b", "handler", "Member must satisfy regular expression pattern: [^\\s]+")
    );
    expect_refused(
        create("f", "native", std::string(129, 'h'), zip_),
        400,
        "ValidationException",
        constraint(
            std::string(129, 'h'), "handler", "Member must have length less than or equal to 128"
        )
    );
    expect_refused(
        create(std::string(65, 'n'), "native", "h", zip_),
        400,
        "InvalidParameterValueException",
        constraint(
            std::string(65, 'n'), "functionName", "Member must have length less than or equal to 64"
        )
    );
    expect_refused(
        create("a b", "native", "h", zip_),
        400,
        "ValidationException",
        constraint(
            "a b",
            "functionName",
            "Member must satisfy regular expression pattern: " + std::string(kFunctionNamePattern)
        )
    );
    expect_refused(
        create("f:1", "native", "h", zip_), 400, "InvalidParameterValueException", kUnqualified
    );
    expect_refused(
        create("f", "native", "h", "this is no zip"),
        400,
        "InvalidParameterValueException",
        "Could not unzip uploaded file. Please check your file, then try to upload again. hako: it "
        "is not a zip, or it is truncated."
    );
    expect_refused(
        create("f", "native", "h", std::string(52428801, 'z')),
        413,
        "RequestEntityTooLargeException",
        "Zipped size must be smaller than 52428800 bytes"
    );
    EXPECT_EQ(create("f", "native", "lib/h.so", zip_).status, 201);
    EXPECT_EQ(create("g", "python3.14", "pkg/mod.sub.handle", zip_).status, 201);
    expect_refused(
        create("f", "native", "h", zip_),
        409,
        "ResourceConflictException",
        "Function already exist: f"
    );
}

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
    EXPECT_EQ(tree_of(dir_.path() + "/state/code").size(), 2U) << "a dry run leaves nothing";
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
    expect_refused(
        call("DeleteFunction", R"({"FunctionName":"f:1"})"),
        404,
        "ResourceNotFoundException",
        std::string("Function not found: ") + kArn + ":1"
    );
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
    EXPECT_EQ(json_at(one.json, "/NextMarker"), "f100");
    EXPECT_TRUE(json_at(one.json, "/Functions/0/FunctionArn").ends_with(":f100:$LATEST"));
    EXPECT_EQ(json_at(call("ListFunctions", R"({"Marker":"z"})").json, "/Functions"), "[]");
    expect_refused(
        call("ListFunctions", R"({"MaxItems":0})"),
        400,
        "ValidationException",
        constraint("0", "maxItems", "Member must have value greater than or equal to 1")
    );
}

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
    EXPECT_EQ(changes_.back().after->reserved_concurrency, 900U);
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
    EXPECT_FALSE(engine_.registry->get("f")->reserved_concurrency.has_value());
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
    EXPECT_EQ(after->reserved_concurrency, 7U);
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
    EXPECT_EQ(tree_of(state + "/code").size(), 2U) << "the new package must not stay";
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
