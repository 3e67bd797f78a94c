#include "runtime/kernel_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace flambeau {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;
constexpr uint64_t kLarge = uint64_t{64} << 20;

Hash128 key_of(uint64_t number) { return hash_bytes(&number, sizeof number); }

/// The value that belongs to key `number`: 1 byte to some KiB, different for every number.
Bytes value_of(uint64_t number) {
  std::mt19937 random(static_cast<unsigned>(number));
  Bytes bytes(1 + number * 37 % 5000);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

/// A new empty folder, gone at the end.
class Folder {
 public:
  Folder() {
    std::string pattern = testing::TempDir() + "kernels-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() {
    chmod(path_.c_str(), 0700);
    fs::remove_all(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  /// The cache's own folder, not made yet.
  fs::path cache() const { return path_ / "cache"; }
  fs::path log() const { return cache() / "kernels"; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

Bytes read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

void fill(const fs::path& folder, uint64_t count, uint64_t max_bytes = kLarge) {
  KernelCache cache(folder, max_bytes);
  for (uint64_t i = 0; i < count; ++i) cache.store(key_of(i), value_of(i));
}

/// Asks for keys [0, count), expects right values, and returns how many had to be compiled.
int64_t expect_right(const fs::path& folder, uint64_t count, uint64_t max_bytes = kLarge) {
  KernelCache cache(folder, max_bytes);
  for (uint64_t i = 0; i < count; ++i)
    EXPECT_EQ(*cache.get_or_compile(key_of(i), [&] { return value_of(i); }), value_of(i)) << i;
  return cache.stats().compiled;
}

int64_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

/// Runs `body` in a child process and returns its exit code, or -1 if a signal ended it.
template <class Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(KernelCache, KeepsValuesInMemoryAndOnDisk) {
  const Folder folder;
  {
    KernelCache cache(folder.cache(), kLarge);
    EXPECT_EQ(cache.find(key_of(1)), nullptr);
    cache.store(key_of(1), value_of(1));
    const CachedBytes value = cache.find(key_of(1));
    ASSERT_NE(value, nullptr);
    EXPECT_EQ(*value, value_of(1));
    EXPECT_EQ(cache.find(key_of(1)), value) << "one copy in memory";
    EXPECT_EQ(cache.stats().memory_hits, 2);
  }
  KernelCache cache(folder.cache(), kLarge);
  ASSERT_NE(cache.find(key_of(1)), nullptr);
  EXPECT_EQ(*cache.find(key_of(1)), value_of(1));
  EXPECT_EQ(cache.stats().disk_hits, 1);
  EXPECT_EQ(cache.find(key_of(2)), nullptr);
  EXPECT_TRUE(cache.stats().on_disk);
}

TEST(KernelCache, CompilesOnceAndPassesExceptionsThrough) {
  const Folder folder;
  KernelCache cache(folder.cache(), kLarge);
  const auto fails = [&]() -> Bytes { throw std::runtime_error("no such kernel"); };
  EXPECT_THROW(cache.get_or_compile(key_of(1), fails), std::runtime_error);
  EXPECT_EQ(cache.find(key_of(1)), nullptr);
  int calls = 0;
  for (int i = 0; i < 3; ++i)
    cache.get_or_compile(key_of(1), [&] {
      ++calls;
      return value_of(1);
    });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(expect_right(folder.cache(), 2), 1);
}

TEST(KernelCache, AnEmptyValueIsAValue) {
  const Folder folder;
  KernelCache(folder.cache(), kLarge).store(key_of(1), {});
  KernelCache cache(folder.cache(), kLarge);
  ASSERT_NE(cache.find(key_of(1)), nullptr);
  EXPECT_TRUE(cache.find(key_of(1))->empty());
}

TEST(KernelCache, ZeroBytesOrNoFolderMeansMemoryOnly) {
  const Folder folder;
  testing::internal::CaptureStderr();
  fill(folder.cache(), 3, 0);
  EXPECT_FALSE(fs::exists(folder.cache()));
  EXPECT_EQ(expect_right("", 3), 3);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(KernelCache, FolderAndFileBelongToTheUserAlone) {
  const Folder folder;
  const mode_t before = umask(0);
  fill(folder.cache(), 1);
  umask(before);
  struct stat status{};
  ASSERT_EQ(stat(folder.cache().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
  for (const auto& file : fs::directory_iterator(folder.cache())) {
    ASSERT_EQ(stat(file.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U) << file;
  }
}

TEST(KernelCache, ThreadsCompileEachKeyOnce) {
  const Folder folder;
  KernelCache cache(folder.cache(), kLarge);
  std::atomic<int> compiled{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < 30; ++i) {
        const CachedBytes value = cache.get_or_compile(key_of(i), [&] {
          ++compiled;
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
          return value_of(i);
        });
        ASSERT_EQ(*value, value_of(i));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(compiled.load(), 30);
}

TEST(KernelCache, EightProcessesCompileEachKeyOnce) {
  const Folder folder;
  constexpr uint64_t kKeys = 40;
  const fs::path note = folder.path() / "compiled";
  std::vector<pid_t> children;
  for (unsigned p = 0; p < 8; ++p) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(60);
      KernelCache cache(folder.cache(), kLarge);
      const int file = open(note.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      bool good = true;
      for (uint64_t i = 0; i < kKeys; ++i) {
        const uint64_t number = (i + p * 5) % kKeys;
        const CachedBytes value = cache.get_or_compile(key_of(number), [&] {
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          good = write(file, "x", 1) == 1 && good;
          return value_of(number);
        });
        good = good && *value == value_of(number);
      }
      _exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  EXPECT_EQ(fs::file_size(note), kKeys);
}

TEST(KernelCache, AChildOfForkUsesItsParentsCache) {
  const Folder folder;
  KernelCache cache(folder.cache(), kLarge);
  cache.store(key_of(1), value_of(1));
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    for (uint64_t i = 100; !stop.load(); ++i)
      cache.get_or_compile(key_of(i), [&] { return value_of(i); });
  });
  for (uint64_t round = 0; round < 10; ++round) {
    EXPECT_EQ(in_child([&] {
                const auto compile = [&] { return value_of(round); };
                return *cache.get_or_compile(key_of(round), compile) == value_of(round) &&
                               *cache.find(key_of(1)) == value_of(1)
                           ? 0
                           : 1;
              }),
              0);
  }
  stop = true;
  busy.join();
  EXPECT_EQ(expect_right(folder.cache(), 10), 0);
}

TEST(KernelCache, AProcessSeesWhatAnotherStored) {
  const Folder folder;
  KernelCache cache(folder.cache(), kLarge);
  EXPECT_EQ(cache.find(key_of(0)), nullptr);
  ASSERT_EQ(in_child([&] {
              fill(folder.cache(), 5);
              return 0;
            }),
            0);
  for (uint64_t i = 0; i < 5; ++i) {
    ASSERT_NE(cache.find(key_of(i)), nullptr);
    EXPECT_EQ(*cache.find(key_of(i)), value_of(i));
  }
}

TEST(KernelCache, KilledWhileWriting) {
  const Folder folder;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      KernelCache cache(folder.cache(), kLarge);
      for (uint64_t i = 0;; ++i)
        cache.get_or_compile(key_of(i % 100'000), [&] { return value_of(i % 100'000); });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1 + round));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    expect_right(folder.cache(), 50);
  }
  EXPECT_EQ(expect_right(folder.cache(), 50), 0);
}

TEST(KernelCache, AFileCutOffAnywhereLosesOnlyItsTail) {
  const Folder folder;
  fill(folder.cache(), 12);
  const Bytes whole = read_file(folder.log());
  for (size_t length = 0; length < whole.size(); length += length < 300 ? 1 : 331) {
    write_file(folder.log(), std::span(whole).first(length));
    testing::internal::CaptureStderr();
    const int64_t compiled = expect_right(folder.cache(), 12);
    EXPECT_LE(lines(testing::internal::GetCapturedStderr()), length < 64 ? 1 : 0);
    EXPECT_GE(compiled, 1);
    EXPECT_EQ(expect_right(folder.cache(), 12), 0) << "cut at " << length;
  }
}

TEST(KernelCache, DamagedBytesAnywhereAreNeverReturned) {
  const Folder folder;
  fill(folder.cache(), 8);
  const Bytes whole = read_file(folder.log());
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    Bytes damaged = whole;
    const size_t flips = 1 + random() % (round % 4 == 0 ? 200 : 3);
    for (size_t i = 0; i < flips; ++i)
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1U << (random() % 8));
    if (round % 5 == 0) damaged.resize(random() % damaged.size());
    write_file(folder.log(), damaged);
    testing::internal::CaptureStderr();
    expect_right(folder.cache(), 8);
    EXPECT_EQ(expect_right(folder.cache(), 8), 0) << "not repaired in round " << round;
    EXPECT_LE(lines(testing::internal::GetCapturedStderr()), 1);
  }
}

TEST(KernelCache, DamageInTheMiddleKeepsWhatFollows) {
  const Folder folder;
  fill(folder.cache(), 10);
  Bytes bytes = read_file(folder.log());
  bytes[64 + 3] ^= std::byte{1};  // the first record's header
  write_file(folder.log(), bytes);
  EXPECT_EQ(expect_right(folder.cache(), 10), 1);
}

TEST(KernelCache, AnyFileInItsPlaceIsBegunAnew) {
  const Folder folder;
  fill(folder.cache(), 1);
  write_file(folder.log(), Bytes(5000, std::byte{0x5a}));
  testing::internal::CaptureStderr();
  EXPECT_EQ(expect_right(folder.cache(), 5), 5);
  EXPECT_EQ(lines(testing::internal::GetCapturedStderr()), 1);
  EXPECT_EQ(expect_right(folder.cache(), 5), 0);
}

TEST(KernelCache, ARunningProcessSurvivesDamageAndRemoval) {
  const Folder folder;
  KernelCache cache(folder.cache(), kLarge);
  const auto get = [&](uint64_t i) {
    return *cache.get_or_compile(key_of(i), [&] { return value_of(i); });
  };
  ASSERT_EQ(in_child([&] {
              fill(folder.cache(), 30);
              return 0;
            }),
            0);
  EXPECT_EQ(get(0), value_of(0));
  EXPECT_EQ(cache.stats().disk_hits, 1);
  fs::resize_file(folder.log(), 1000);
  for (uint64_t i = 1; i < 10; ++i) EXPECT_EQ(get(i), value_of(i));
  fs::remove(folder.log());
  for (uint64_t i = 10; i < 20; ++i) EXPECT_EQ(get(i), value_of(i));
  fs::remove_all(folder.cache());
  testing::internal::CaptureStderr();
  for (uint64_t i = 20; i < 30; ++i) EXPECT_EQ(get(i), value_of(i));
  EXPECT_LE(lines(testing::internal::GetCapturedStderr()), 1);
}

TEST(KernelCache, TheFileStaysBelowItsBoundAndKeepsWhatWasUsedLast) {
  const Folder folder;
  constexpr uint64_t kBound = 256 << 10;
  fill(folder.cache(), 300, kBound);  // about 750 KiB
  EXPECT_LE(fs::file_size(folder.log()), kBound);
  EXPECT_GE(fs::file_size(folder.log()), kBound / 4);
  KernelCache cache(folder.cache(), kBound);
  EXPECT_NE(cache.find(key_of(299)), nullptr);
  EXPECT_NE(cache.find(key_of(290)), nullptr);
  EXPECT_EQ(cache.find(key_of(0)), nullptr);
}

TEST(KernelCache, WhatWasReadLatelyOutlivesWhatWasOnlyWritten) {
  const Folder folder;
  fill(folder.cache(), 60);
  // All records were last used long ago; then one is read.
  Bytes bytes = read_file(folder.log());
  constexpr size_t kLastUsed = 48;
  const int64_t long_ago = 1'000'000;
  for (size_t at = 64; at < bytes.size();) {
    uint64_t length = 0;
    std::memcpy(&length, &bytes[at + 24], sizeof length);
    std::memcpy(&bytes[at + kLastUsed], &long_ago, sizeof long_ago);
    at += 64 + (length + 63) / 64 * 64;
  }
  write_file(folder.log(), bytes);
  const uint64_t bound = bytes.size() + 10'000;
  ASSERT_NE(KernelCache(folder.cache(), bound).find(key_of(3)), nullptr);
  {
    // A few more bring the file over its bound.
    KernelCache cache(folder.cache(), bound);
    for (uint64_t i = 1000; fs::file_size(folder.log()) >= bytes.size(); ++i)
      cache.store(key_of(i), value_of(i));
  }
  KernelCache cache(folder.cache(), bound);
  EXPECT_NE(cache.find(key_of(3)), nullptr);
  EXPECT_EQ(cache.find(key_of(2)), nullptr);
}

TEST(KernelCache, AnEmptyValueOutlivesACompaction) {
  const Folder folder;
  constexpr uint64_t kBound = 64 << 10;
  KernelCache cache(folder.cache(), kBound);
  for (uint64_t i = 0; i < 100; ++i) {
    cache.store(key_of(i), value_of(i));
    cache.store(key_of(1000 + i), {});
  }
  const CachedBytes empty = KernelCache(folder.cache(), kBound).find(key_of(1099));
  ASSERT_NE(empty, nullptr);
  EXPECT_TRUE(empty->empty());
}

TEST(KernelCache, ADamagedTimeOfUseIsMended) {
  const Folder folder;
  fill(folder.cache(), 1);
  constexpr size_t kLastUsed = 64 + 48;
  Bytes bytes = read_file(folder.log());
  int64_t used = std::numeric_limits<int64_t>::min();
  std::memcpy(&bytes[kLastUsed], &used, sizeof used);
  write_file(folder.log(), bytes);
  ASSERT_NE(KernelCache(folder.cache(), kLarge).find(key_of(0)), nullptr);
  std::memcpy(&used, &read_file(folder.log())[kLastUsed], sizeof used);
  EXPECT_GT(used, 0);
}

TEST(KernelCache, ACompactionIsSeenByOtherProcesses) {
  const Folder folder;
  constexpr uint64_t kBound = 128 << 10;
  KernelCache first(folder.cache(), kBound);
  first.store(key_of(0), value_of(0));
  ASSERT_EQ(in_child([&] {
              fill(folder.cache(), 200, kBound);
              return 0;
            }),
            0);
  ASSERT_NE(first.find(key_of(199)), nullptr);
  first.store(key_of(5000), value_of(5000));
  EXPECT_NE(KernelCache(folder.cache(), kBound).find(key_of(5000)), nullptr);
  EXPECT_LE(fs::file_size(folder.log()), kBound);
}

TEST(KernelCache, SeveralProcessesOverTheBound) {
  const Folder folder;
  constexpr uint64_t kBound = 128 << 10;
  std::vector<pid_t> children;
  for (unsigned p = 0; p < 4; ++p) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(60);
      for (int round = 0; round < 5; ++round) expect_right(folder.cache(), 100, kBound);
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  EXPECT_LE(fs::file_size(folder.log()), kBound);
}

TEST(KernelCache, AValueTooLargeForTheFileStaysInMemory) {
  const Folder folder;
  KernelCache cache(folder.cache(), 10'000);
  cache.store(key_of(1), Bytes(9'000));
  EXPECT_EQ(cache.find(key_of(1))->size(), 9'000U);
  EXPECT_LE(cache.stats().file_bytes, 10'000U);
}

/// Expects that a cache in `folder` works in memory and says so once.
void expect_memory_only(const fs::path& folder, const std::string& reason) {
  testing::internal::CaptureStderr();
  {
    KernelCache cache(folder, kLarge);
    for (int round = 0; round < 2; ++round)
      for (uint64_t i = 0; i < 5; ++i)
        EXPECT_EQ(*cache.get_or_compile(key_of(i), [&] { return value_of(i); }), value_of(i));
    EXPECT_EQ(cache.stats().compiled, 5);
    EXPECT_FALSE(cache.stats().on_disk);
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines(text), 1) << text;
  EXPECT_NE(text.find(reason), std::string::npos) << text;
}

TEST(KernelCache, AFileWhereTheFolderShouldBe) {
  const Folder folder;
  write_file(folder.cache(), {});
  expect_memory_only(folder.cache(), "cannot open the folder");
  expect_memory_only(folder.cache() / "below", "cannot make the folder");
}

TEST(KernelCache, AFolderThatOthersMayWriteTo) {
  const Folder folder;
  fill(folder.cache(), 2);
  chmod(folder.cache().c_str(), 0777);
  expect_memory_only(folder.cache(), "other users may write");
}

TEST(KernelCache, LinksAndForeignFilesAreNotFollowed) {
  const Folder folder;
  fill(folder.cache(), 1);
  const fs::path target = folder.path() / "precious";
  const Bytes content(100, std::byte{1});
  write_file(target, content);
  fs::remove(folder.log());
  fs::create_symlink(target, folder.log());
  expect_memory_only(folder.cache(), "cannot open the file 'kernels'");
  EXPECT_EQ(read_file(target), content);
  fs::remove(folder.log());
  fs::create_hard_link(target, folder.log());
  expect_memory_only(folder.cache(), "'kernels' is not a plain file");
  fs::remove(folder.log());
  ASSERT_EQ(mkfifo(folder.log().c_str(), 0600), 0);
  expect_memory_only(folder.cache(), "'kernels' is not a plain file");
  fs::remove(folder.log());
  fs::create_directory(folder.log());
  expect_memory_only(folder.cache(), "cannot open the file 'kernels'");
  EXPECT_EQ(read_file(target), content);
}

TEST(KernelCache, AFolderOrFileOfAnotherUser) {
  const Folder folder;
  fill(folder.cache(), 1);
  chmod(folder.path().c_str(), 0755);
  if (geteuid() == 0) {
    ASSERT_EQ(chown(folder.log().c_str(), 12345, 12345), 0);
    expect_memory_only(folder.cache(), "'kernels' is not a plain file that this user owns");
    ASSERT_EQ(chown(folder.cache().c_str(), 12345, 12345), 0);
    expect_memory_only(folder.cache(), "belongs to another user");
  } else {
    expect_memory_only("/", "belongs to another user");
  }
}

/// Ends being the superuser, for whom no folder is read-only.
void become_nobody() {
  if (geteuid() != 0) return;
  if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) _exit(99);
}

TEST(KernelCache, AReadOnlyFolder) {
  const Folder folder;
  if (geteuid() == 0) ASSERT_EQ(chown(folder.path().c_str(), 65534, 65534), 0);
  chmod(folder.path().c_str(), 0500);
  EXPECT_EQ(in_child([&] {
              become_nobody();
              expect_memory_only(folder.cache(), "cannot make the folder (Permission denied)");
              return testing::Test::HasFailure() ? 1 : 0;
            }),
            0);
}

TEST(KernelCache, AFullDisk) {
  const Folder folder;
  // Past this size of any file, writing fails as on a full disk.
  EXPECT_EQ(in_child([&] {
              fill(folder.cache(), 5);
              const rlimit limit{20'000, 20'000};
              setrlimit(RLIMIT_FSIZE, &limit);
              testing::internal::CaptureStderr();
              KernelCache cache(folder.cache(), kLarge);
              for (uint64_t i = 0; i < 60; ++i) {
                const auto compile = [&] { return value_of(i); };
                if (*cache.get_or_compile(key_of(i), compile) != value_of(i)) return 1;
              }
              const std::string text = testing::internal::GetCapturedStderr();
              return lines(text) == 1 && text.find("cannot write") != std::string::npos ? 0 : 2;
            }),
            0);
  EXPECT_LE(fs::file_size(folder.log()), 20'000U);
  EXPECT_GE(expect_right(folder.cache(), 60), 1);
  EXPECT_EQ(expect_right(folder.cache(), 60), 0);
}

TEST(KernelCache, AFullFileSystem) {
  const Folder folder;
  // Where mounting is not allowed the device that is always full shows that ENOSPC is survived.
  const bool mounted =
      mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=65536,mode=0700") == 0;
  if (mounted) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(expect_right(folder.cache(), 60), 60);
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(lines(text), 1) << text;
    EXPECT_NE(text.find("No space left"), std::string::npos) << text;
    testing::internal::CaptureStderr();
    const int64_t again = expect_right(folder.cache(), 60);
    EXPECT_EQ(lines(testing::internal::GetCapturedStderr()), 1);
    EXPECT_GE(again, 1);
    EXPECT_LT(again, 60);
    umount(folder.path().c_str());
  } else {
    fs::create_directory(folder.cache());
    chmod(folder.cache().c_str(), 0700);
    fs::create_symlink("/dev/full", folder.log());
    expect_memory_only(folder.cache(), "cannot open the file 'kernels'");
  }
}

TEST(KernelCache, MemoryIsBounded) {
  KernelCache cache({}, 0);
  const auto key = [](int i) { return Hasher().add(i).finish(); };
  const auto bytes = std::vector<std::byte>(3);
  for (int i = 0; i < 10'000; ++i) {
    cache.store(key(i), bytes);
    EXPECT_NE(cache.find(key(0)), nullptr) << "it was used last";
  }
  EXPECT_EQ(cache.find(key(1)), nullptr);
  EXPECT_NE(cache.find(key(9'999)), nullptr);
}

}  // namespace
}  // namespace flambeau
