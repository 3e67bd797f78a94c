#include "runtime/cpu_topology.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>

#include "base/error.h"

namespace flambeau {
namespace {

std::optional<double> read_number(std::istream& in) {
  double value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

/// cpu.max holds "QUOTA PERIOD" or "max PERIOD".
std::optional<double> limit_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  const auto quota = read_number(file);
  const auto period = quota ? read_number(file) : std::nullopt;
  if (!period || *quota <= 0 || *period <= 0) return std::nullopt;
  return *quota / *period;
}

std::optional<double> limit_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
  std::ifstream period_file(folder + "/cpu.cfs_period_us");
  const auto quota = read_number(quota_file);
  const auto period = read_number(period_file);
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return *quota / *period;
}

/// The least limit of `path` and the folders above it, up to and with `mount` itself. A container
/// often sees its group's own files at the mount while its path names folders outside of it.
template <class ReadLimit>
std::optional<double> least_limit(const std::string& mount, std::string path, ReadLimit read) {
  std::optional<double> least;
  while (true) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    const std::optional<double> limit = read(mount + path);
    if (limit && (!least || *limit < *least)) least = limit;
    if (path.empty()) return least;
    path.resize(std::min(path.rfind('/'), path.size()));
  }
}

bool has_controller(std::string_view list, std::string_view name) {
  std::istringstream in{std::string(list)};
  for (std::string item; std::getline(in, item, ',');)
    if (item == name) return true;
  return false;
}

}  // namespace

std::vector<int> allowed_cores() {
  std::vector<int> cores;
  // Machines with more cores than the fixed mask holds refuse it; ask with a larger one.
  for (int capacity = 1024; capacity <= (1 << 18); capacity *= 4) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<size_t>(capacity));
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(capacity));
    const bool ok = mask != nullptr && sched_getaffinity(0, bytes, mask) == 0;
    for (int core = 0; ok && core < capacity; ++core)
      if (CPU_ISSET_S(static_cast<size_t>(core), bytes, mask)) cores.push_back(core);
    CPU_FREE(mask);
    if (!cores.empty()) return cores;
  }
  const int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int core = 0; core < count; ++core) cores.push_back(core);
  return cores;
}

std::optional<double> cgroup_core_limit(const std::string& root) {
  std::optional<double> least;
  const auto take = [&](std::optional<double> limit) {
    if (limit && (!least || *limit < *least)) least = limit;
  };
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  // Each line is "ID:CONTROLLERS:PATH"; v2 has one line, "0::PATH".
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      take(least_limit(mount, path, limit_v2));
    } else if (has_controller(controllers, "cpu")) {
      take(least_limit(concat(mount, '/', controllers), path, limit_v1));
      take(least_limit(mount + "/cpu", path, limit_v1));
    }
  }
  return least;
}

int usable_core_count() {
  const int cores = static_cast<int>(allowed_cores().size());
  const std::optional<double> limit = cgroup_core_limit();
  if (!limit) return cores;
  return std::clamp(static_cast<int>(std::ceil(*limit)), 1, cores);
}

int64_t last_cache_bytes(const std::string& root) {
  int64_t most = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file(concat(root, "/sys/devices/system/cpu/cpu0/cache/index", index, "/size"));
    int64_t size = 0;
    char unit = 0;
    if (!(file >> size)) continue;
    file >> unit;
    most = std::max(most, size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0));
  }
  // Some sandboxes have no such files. The processor itself tells of a whole package.
  if (most == 0 && root.empty()) most = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return most > 0 ? most : int64_t{32} << 20;
}

}  // namespace flambeau
