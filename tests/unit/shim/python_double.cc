#include "tests/unit/shim/python_double.h"

#include <cstdlib>
#include <fstream>

#include <sys/wait.h>

#include "runtime-shim/python/python_runtime.h"

namespace hako::shim::test {

void PythonFunction::SetUp() {
    char name[] = "/tmp/hako-python-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root = name;
}

void PythonFunction::TearDown() {
    std::filesystem::remove_all(root);
}

void PythonFunction::write_file(const std::string& name, const std::string& content) {
    const std::filesystem::path target = path(name);
    std::filesystem::create_directories(target.parent_path());
    std::ofstream(target) << content;
}

Answer PythonFunction::init(
    const std::string& handler, const EngineDouble::Environment& variables
) {
    return init_in(engine, handler, variables);
}

Answer PythonFunction::init_in(
    EngineDouble& other, const std::string& handler, const EngineDouble::Environment& variables
) {
    before_python_clone();
    other.start([] {
        after_python_clone_in_worker();
        return run_python_worker();
    });
    after_python_clone_in_zygote();
    EngineDouble::Environment environment = environment_for(handler, root);
    environment.insert(environment.end(), variables.begin(), variables.end());
    return other.init(environment);
}

void PythonFunction::start(const std::string& code, const EngineDouble::Environment& variables) {
    write_file("app.py", code);
    const Answer answer = init("app.handler", variables);
    ASSERT_EQ(answer.kind, HAKO_RESPONSE_READY) << answer.payload << answer.log;
    ASSERT_EQ(answer.payload, "");
    ASSERT_EQ(answer.log, "");
}

void PythonFunction::expect_init_error(const std::string& handler, const std::string& payload) {
    const Answer answer = init(handler);
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_INIT_ERROR);
    EXPECT_EQ(answer.payload, payload);
    const int status = engine.await_exit();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
}

void PythonFunction::expect_result(std::string_view event, const std::string& payload) {
    const Answer answer = engine.invoke({.event = event});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_RESULT) << answer.log;
    EXPECT_EQ(answer.payload, payload);
}

void PythonFunction::expect_error(std::string_view event, const std::string& payload) {
    const Answer answer = engine.invoke({.event = event});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
    EXPECT_EQ(answer.payload, payload);
}

}  // namespace hako::shim::test
