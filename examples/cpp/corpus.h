#pragma once
// The text that the examples learn from: the source of Python's standard library. The same bytes as
// examples/corpus.py gives.

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace flambeau::examples {

/// Where the Python on PATH has its standard library.
inline std::string standard_library() {
  const char* command = "python3 -c 'import sysconfig; print(sysconfig.get_paths()[\"stdlib\"])'";
  std::string path;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command, "r"), ::pclose);
  std::array<char, 4096> buffer{};
  if (pipe && std::fgets(buffer.data(), buffer.size(), pipe.get()) != nullptr) path = buffer.data();
  while (!path.empty() && path.back() == '\n') path.pop_back();
  check<EnvironmentError>(!path.empty(), [] {
    return std::string("found no python3; name a folder of .py files: --text FOLDER");
  });
  return path;
}

/// All .py files below `folder` (empty: the standard library), sorted by path and joined; every
/// 20th file is held out, which is the second text.
inline std::pair<std::string, std::string> load_corpus(const std::string& folder) {
  namespace fs = std::filesystem;
  constexpr std::array kSkipped{"__pycache__",   "dist-packages", "idle_test",
                                "site-packages", "test",          "tests"};
  const std::string root = folder.empty() ? standard_library() : folder;
  std::vector<std::string> files;
  for (auto entry = fs::recursive_directory_iterator(root);
       entry != fs::recursive_directory_iterator(); ++entry) {
    const fs::path& path = entry->path();
    if (entry->is_directory() &&
        std::find(kSkipped.begin(), kSkipped.end(), path.filename()) != kSkipped.end())
      entry.disable_recursion_pending();
    else if (path.extension() == ".py" && !entry->is_directory())
      files.push_back(path.string());
  }
  check<ValueError>(!files.empty(), [&] {
    return concat("there are no .py files in ", root, "; name a folder that has: --text FOLDER");
  });
  std::sort(files.begin(), files.end());
  std::array<std::string, 2> parts;
  std::array<bool, 2> started{};
  for (size_t i = 0; i < files.size(); ++i) {
    const size_t part = i % 20 == 19 ? 1 : 0;
    if (started[part]) parts[part] += '\n';
    started[part] = true;
    std::ifstream file(files[i], std::ios::binary);
    parts[part].append(std::istreambuf_iterator<char>(file), {});
  }
  if (parts[1].empty()) {  // a folder with fewer than 20 files
    const size_t cut = parts[0].size() - (parts[0].size() + 9) / 10;
    parts[1] = parts[0].substr(cut);
    parts[0].resize(cut);
  }
  return {std::move(parts[0]), std::move(parts[1])};
}

}  // namespace flambeau::examples
