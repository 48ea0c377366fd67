#include "base/check.h"
#include "corpus/tasks.h"

#include <gmock/gmock.h>

#include <fstream>
#include <map>

namespace tnl::corpus {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Task found(const std::map<std::string, std::string>& environment, std::optional<int> index = {},
           std::optional<int> world = {}) {
    return find_task(index, world, [&](const char* name) -> const char* {
        const auto at = environment.find(name);
        return at == environment.end() ? nullptr : at->second.c_str();
    });
}
std::string refusal(const std::map<std::string, std::string>& environment,
                    std::optional<int> index = {}, std::optional<int> world = {}) {
    try {
        found(environment, index, world);
    } catch (const UsageError& error) {
        return error.what();
    }
    return "none";
}

TEST(Tasks, FromTheCommandLineOrTheEnvironment) {
    const auto is = [](Task task, int index, int world) {
        return task.index == index && task.world == world;
    };
    EXPECT_TRUE(is(found({}), 0, 1));
    EXPECT_TRUE(is(found({}, 2, 5), 2, 5));
    const std::map<std::string, std::string> array = {{"SLURM_ARRAY_TASK_ID", "3"},
                                                      {"SLURM_ARRAY_TASK_MIN", "0"},
                                                      {"SLURM_ARRAY_TASK_MAX", "7"},
                                                      {"SLURM_ARRAY_TASK_COUNT", "8"}};
    EXPECT_TRUE(is(found(array), 3, 8));
    EXPECT_TRUE(is(found(array, 1, 2), 1, 2));
    EXPECT_TRUE(is(found(array, {}, 100), 3, 100)); // tasks of a larger array, run again
    EXPECT_TRUE(is(found({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), 1, 4));
    EXPECT_TRUE(is(found({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}), 0, 2));
    EXPECT_TRUE(is(found({{"JOB_COMPLETION_INDEX", "5"}}, {}, 6), 5, 6));
}

TEST(Tasks, WhatMakesNoTaskIsRefused) {
    EXPECT_THAT(refusal({{"SLURM_ARRAY_TASK_ID", "3"},
                         {"SLURM_ARRAY_TASK_MIN", "3"},
                         {"SLURM_ARRAY_TASK_MAX", "5"},
                         {"SLURM_ARRAY_TASK_COUNT", "2"}}),
                HasSubstr("SLURM_ARRAY_TASK_ID is 3, but not of how many tasks; wanted --world"));
    EXPECT_THAT(refusal({{"JOB_COMPLETION_INDEX", "5"}}), HasSubstr("wanted --world"));
    EXPECT_THAT(refusal({{"JOB_COMPLETION_INDEX", "x"}}, {}, 6),
                HasSubstr("JOB_COMPLETION_INDEX is \"x\", wanted a whole number"));
    EXPECT_THAT(refusal({}, {}, 6), HasSubstr("--world is 6, but there is no --task"));
    EXPECT_THAT(refusal({}, 6, 6), HasSubstr("--task is 6 of 6 tasks, wanted 0 to 5"));
}

TEST(Tasks, SharesAreAPartition) {
    for (const int world : {1, 2, 3, 7, 20}) {
        std::vector<int> owners(13, 0);
        for (int index = 0; index < world; ++index)
            for (const size_t i : share_of(13, {index, world})) ++owners[i];
        EXPECT_EQ(owners, std::vector<int>(13, 1));
    }
    EXPECT_THAT(share_of(5, {1, 3}), ElementsAre(1u, 4u));
}

TEST(Tasks, InputsAreSortedAndNamed) {
    const fs::path folder = fs::path(::testing::TempDir()) / "tasks_inputs";
    fs::remove_all(folder);
    fs::create_directories(folder / "b");
    for (const char* name : {"z.jsonl.zst", "a.txt", "b/a.warc.wet.gz", "b/v1.2.jsonl"})
        std::ofstream(folder / name) << "x";
    const auto names = [&](const std::vector<std::string>& given) {
        std::vector<std::string> out;
        for (const Input& input : find_inputs(given)) out.push_back(input.name);
        return out;
    };
    const std::string in = folder.string();
    EXPECT_THAT(names({in + "/z*", in + "/b/*", in + "/./a.txt"}),
                ElementsAre("a", "b/a", "b/v1.2", "z"));
    EXPECT_THAT(names({in + "/b/*"}), ElementsAre("a", "v1.2"));
    EXPECT_THAT(names({in + "/a.txt"}), ElementsAre("a"));
    EXPECT_THROW(names({in + "/a.txt", in + "/b/../a.txt"}), UsageError);
    EXPECT_THROW(names({in + "/b"}), UsageError);
    EXPECT_THROW(names({in + "/nothing*"}), UsageError);
    std::ofstream(folder / "a.jsonl") << "x";
    EXPECT_THROW(names({in + "/a.*"}), UsageError);
    fs::remove_all(folder);
}

} // namespace
} // namespace tnl::corpus
