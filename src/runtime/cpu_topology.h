#pragma once
// Which cores this process may use.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace flambeau {

/// Numbers of the cores in the calling thread's affinity mask, ascending; never empty.
std::vector<int> allowed_cores();

/// The CPU bandwidth limit of the process's control group in cores (1.5 is one and a half), the
/// least along its path to the root, for cgroup v2 (`cpu.max`) and v1 (`cpu.cfs_quota_us`); nothing
/// where there is none. `root` stands before /proc and /sys (tests give a folder of their own).
std::optional<double> cgroup_core_limit(const std::string& root = "");

/// Cores that the process may keep busy: the affinity mask, or the limit (rounded up) if it is
/// less.
int usable_core_count();

/// Bytes of the largest cache that the first core reaches, as the kernel lists them; else what the
/// processor says; else 32 MiB.
int64_t last_cache_bytes(const std::string& root = "");

}  // namespace flambeau
