#pragma once
// A file descriptor that closes itself, and advisory locks on byte ranges of a file.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

namespace flambeau {

class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int fd) : fd_(fd) {}
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileHandle() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

/// Holds one byte of a file against other open descriptions of it, in this or another process. The
/// system releases it when the process ends in any way.
class ByteLock {
 public:
  /// Waits up to `patience` for byte `offset` of `fd`. Not holding it afterwards means that another
  /// holds it still; on file systems without locks everybody holds everything.
  ByteLock(int fd, int64_t offset, std::chrono::milliseconds patience) : fd_(fd), offset_(offset) {
    const auto end = std::chrono::steady_clock::now() + patience;
    auto pause = std::chrono::microseconds(200);
    while (!(held_ = change(F_WRLCK))) {
      if (std::chrono::steady_clock::now() >= end) return;
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::microseconds(5000));
    }
  }
  ByteLock(const ByteLock&) = delete;
  ByteLock& operator=(const ByteLock&) = delete;
  ~ByteLock() {
    if (held_) change(F_UNLCK);
  }
  bool held() const { return held_; }

 private:
  /// False only if another holds it.
  bool change(int type) const {
    struct flock range{};
    range.l_type = static_cast<short>(type);
    range.l_whence = SEEK_SET;
    range.l_start = offset_;
    range.l_len = 1;
    while (fcntl(fd_, F_OFD_SETLK, &range) != 0) {
      if (errno == EINTR) continue;
      return errno != EAGAIN && errno != EACCES;
    }
    return true;
  }

  int fd_ = -1;
  int64_t offset_ = 0;
  bool held_ = false;
};

}  // namespace flambeau
