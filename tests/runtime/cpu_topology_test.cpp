#include "runtime/cpu_topology.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace flambeau {
namespace {

/// A folder that stands for the root of a machine.
class FakeRoot {
 public:
  FakeRoot() {
    std::string pattern = testing::TempDir() + "cgroup-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;

  void write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = path_ + name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(CpuTopology, AllowedCoresAreTheAffinityMask) {
  const std::vector<int> all = allowed_cores();
  ASSERT_FALSE(all.empty());
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  std::vector<int> one;
  std::thread([&] {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(static_cast<size_t>(all.back()), &mask);
    sched_setaffinity(0, sizeof mask, &mask);
    one = allowed_cores();
    EXPECT_EQ(usable_core_count(), 1);
  }).join();
  EXPECT_EQ(one, std::vector<int>{all.back()});
}

TEST(CpuTopology, NoGroupMeansNoLimit) {
  const FakeRoot root;
  EXPECT_EQ(cgroup_core_limit(root.path()), std::nullopt);
  root.write("/proc/self/cgroup", "0::/a\n");
  EXPECT_EQ(cgroup_core_limit(root.path()), std::nullopt);
  root.write("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_core_limit(root.path()), std::nullopt);
}

TEST(CpuTopology, Version2TakesTheLeastOnThePath) {
  const FakeRoot root;
  root.write("/proc/self/cgroup", "0::/a/b\n");
  root.write("/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
  EXPECT_EQ(cgroup_core_limit(root.path()), 4.0);
  root.write("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroup_core_limit(root.path()), 1.5);
}

TEST(CpuTopology, Version2InAContainerSeesItsOwnGroupAtTheMount) {
  const FakeRoot root;
  root.write("/proc/self/cgroup", "0::/\n");
  root.write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(cgroup_core_limit(root.path()), 2.0);
}

TEST(CpuTopology, Version1) {
  const FakeRoot root;
  root.write("/proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/1\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_core_limit(root.path()), std::nullopt);
  root.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(cgroup_core_limit(root.path()), 3.0);
}

TEST(CpuTopology, TheLargestCacheCounts) {
  const FakeRoot root;
  EXPECT_EQ(last_cache_bytes(root.path()), int64_t{32} << 20);
  const std::string caches = "/sys/devices/system/cpu/cpu0/cache/index";
  root.write(caches + "0/size", "64K\n");
  root.write(caches + "2/size", "2M\n");
  root.write(caches + "3/size", "1024K\n");
  EXPECT_EQ(last_cache_bytes(root.path()), int64_t{2} << 20);
  EXPECT_GT(last_cache_bytes(), 0);
}

TEST(CpuTopology, GarbageIsNoLimit) {
  const FakeRoot root;
  root.write("/proc/self/cgroup", "nonsense\n0:\n0::/\n");
  for (const char* text : {"", "zero", "100000", "-1 100000", "100000 0"}) {
    root.write("/sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(cgroup_core_limit(root.path()), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace flambeau
