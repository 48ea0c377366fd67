#include "corpus/jobs/lease.h"
#include "corpus/jobs/process_name.h"
#include "corpus/jobs/workspace.h"

#include "base/check.h"
#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace tnl::corpus {
namespace {
namespace fs = std::filesystem;
using namespace std::chrono_literals;

class Jobs : public testing::Test {
  protected:
    Jobs()
        : root(fs::temp_directory_path() /
               fmt::format("tnl_jobs_{}_{}",
                           testing::UnitTest::GetInstance()->current_test_info()->name(),
                           ::getpid())) {
        fs::remove_all(root);
        fs::create_directories(root);
    }
    ~Jobs() override { fs::remove_all(root); }
    fs::path root;
};

TEST_F(Jobs, ProcessesAreKnownToBeGoneOrNot) {
    EXPECT_FALSE(is_gone(process_name()));
    EXPECT_FALSE(is_gone("another-host.1.2.3"));
    EXPECT_FALSE(is_gone(""));
    const size_t start = process_name().rfind('.');
    EXPECT_TRUE(is_gone(process_name().substr(0, start) + ".1")); // another process had the number
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    ::waitpid(child, nullptr, 0);
    const size_t pid = process_name().rfind('.', start - 1);
    EXPECT_TRUE(is_gone(fmt::format("{}.{}.1", process_name().substr(0, pid), child)));
}

void set_age(const fs::path& path, int64_t seconds) {
    timespec times[2] = {};
    ::clock_gettime(CLOCK_REALTIME, &times[1]);
    times[1].tv_sec -= seconds;
    times[0] = times[1];
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST_F(Jobs, OneOfTwoHasALease) {
    Leases first(root, {10ms, 1s}), second(root, {10ms, 1s});
    EXPECT_TRUE(first.take("a"));
    EXPECT_FALSE(first.take("a"));
    EXPECT_FALSE(second.take("a"));
    EXPECT_TRUE(second.take("b"));
    set_age(root / "a.lease", 1000);
    std::this_thread::sleep_for(100ms); // its owner is alive: the heartbeat makes it young again
    EXPECT_FALSE(second.take("a"));
    first.give_back("a");
    EXPECT_TRUE(second.take("a"));
}

TEST_F(Jobs, LeasesOfOthersAreTheirsUntilTheyAreStale) {
    Leases leases(root, {10ms, 100s});
    write_file_atomic(root / "young.lease", "another-host.1.2.3\n");
    write_file_atomic(root / "old.lease", "another-host.1.2.3\n");
    write_file_atomic(root / "torn.lease", "another-ho");
    set_age(root / "old.lease", 200);
    EXPECT_FALSE(leases.take("young"));
    EXPECT_TRUE(leases.take("old"));
    EXPECT_FALSE(leases.take("torn"));
    set_age(root / "torn.lease", 200);
    EXPECT_TRUE(leases.take("torn"));
    // Of a process of this machine that is gone: at once.
    write_file_atomic(root / "gone.lease",
                      process_name().substr(0, process_name().rfind('.')) + ".1\n");
    EXPECT_TRUE(leases.take("gone"));
}

Stage copies(const fs::path& root, int count, int* runs, const std::string& parameters = "p") {
    Stage stage{"copies", parameters, "", {}};
    for (int i = 0; i < count; ++i)
        stage.units.push_back(
            {fmt::format("copy-{}", i), {root / fmt::format("in{}", i)}, [=](UnitOutputs& outputs) {
                 ++*runs;
                 write_file_atomic(outputs.add(fmt::format("out/{}{}", i, parameters)),
                                   read_file(root / fmt::format("in{}", i)) + parameters);
                 return Json{{"files", 1}};
             }});
    return stage;
}

TEST_F(Jobs, UnitsRunOnceUntilSomethingChanges) {
    for (int i = 0; i < 3; ++i) write_file_atomic(root / fmt::format("in{}", i), "x");
    Workspace workspace(root / "work");
    int runs = 0;
    const Stage stage = copies(root, 3, &runs);
    EXPECT_THAT([&] { workspace.require(stage); }, testing::ThrowsMessage<Error>(testing::HasSubstr(
                                                       "3 of 3 pieces of stage 'copies'")));
    EXPECT_EQ(workspace.run(stage, 1, {}, true).done_here, 3U);
    EXPECT_EQ(workspace.counts(stage).at("files"), 3U);
    const std::string digest = workspace.digest(stage);
    EXPECT_EQ(workspace.run(stage, 1, {}, true).done_before, 3U);
    EXPECT_EQ(runs, 3);

    fs::remove(root / "work/out/1p"); // an output that is gone
    EXPECT_EQ(workspace.run(stage, 1, {}, true).done_here, 1U);
    write_file_atomic(root / "in2", "y"); // an input of the same size
    EXPECT_EQ(workspace.run(stage, 1, {}, true).done_here, 1U);
    EXPECT_NE(workspace.digest(stage), digest);

    // Other parameters: what the earlier ones made is gone.
    EXPECT_EQ(workspace.run(copies(root, 3, &runs, "q"), 1, {}, true).done_here, 3U);
    EXPECT_TRUE(fs::exists(root / "work/out/2q"));
    EXPECT_FALSE(fs::exists(root / "work/out/2p"));
}

TEST_F(Jobs, FaultsAreThrownAndLeaveNothing) {
    Workspace workspace(root / "work");
    Stage stage{"s", "", "", {}};
    stage.units.push_back({"bad", {}, [](UnitOutputs& outputs) -> Json {
                               write_file_atomic(outputs.add("half"), "half");
                               fail("a fault");
                           }});
    EXPECT_THAT([&] { workspace.run(stage, 2, {}, true); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("a fault")));
    EXPECT_FALSE(fs::exists(root / "work/half"));
    EXPECT_TRUE(fs::is_empty(root / "work/manifest"));
    EXPECT_FALSE(workspace.done(stage, stage.units[0]));
}

} // namespace
} // namespace tnl::corpus
