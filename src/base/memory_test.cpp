#include "base/memory.h"

#include "base/file.h"

#include <gtest/gtest.h>

namespace tnl {
namespace {

class Memory : public ::testing::Test {
  protected:
    void SetUp() override {
        root = std::filesystem::path(::testing::TempDir()) /
               ::testing::UnitTest::GetInstance()->current_test_info()->name();
        std::filesystem::remove_all(root);
        put("proc/meminfo", "MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:  8000 kB\n");
    }
    void TearDown() override { std::filesystem::remove_all(root); }
    void put(const std::string& name, const std::string& content) const {
        std::filesystem::create_directories((root / name).parent_path());
        write_file_atomic(root / name, content);
    }
    std::filesystem::path root;
};

TEST_F(Memory, CachesCountAsFree) { EXPECT_EQ(available_memory(root), 8000u * 1024); }

TEST_F(Memory, TheTightestGroupHolds) {
    put("proc/self/cgroup", "0::/outer/inner\n");
    put("sys/fs/cgroup/outer/inner/memory.max", "max\n");
    put("sys/fs/cgroup/outer/inner/memory.current", "50000\n");
    EXPECT_EQ(available_memory(root), 8000u * 1024);
    put("sys/fs/cgroup/outer/memory.max", "1000000\n");
    put("sys/fs/cgroup/outer/memory.current", "900000\n");
    EXPECT_EQ(available_memory(root), 100000u);
    put("sys/fs/cgroup/outer/memory.stat", "anon 700000\ninactive_file 200000\n");
    EXPECT_EQ(available_memory(root), 300000u);
    put("sys/fs/cgroup/outer/memory.current", "2000000\n"); // a limit lowered later
    EXPECT_EQ(available_memory(root), 0u);
}

TEST_F(Memory, GroupsOfTheFirstVersion) {
    put("proc/self/cgroup", "3:cpu,cpuacct:/a\n2:memory:/a\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
    EXPECT_EQ(available_memory(root), 8000u * 1024);
    put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "5000\n");
    put("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000\n");
    EXPECT_EQ(available_memory(root), 4000u);
}

TEST_F(Memory, WithoutAnyOfTheFilesThereIsNoLimit) {
    EXPECT_GT(available_memory(root / "nowhere"), size_t{1} << 60);
    EXPECT_GT(available_memory(), size_t{1} << 20); // this machine
}

} // namespace
} // namespace tnl
