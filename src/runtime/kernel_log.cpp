#include "runtime/kernel_log.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <system_error>

#include "base/error.h"

namespace flambeau {
namespace {

using std::chrono::milliseconds;

constexpr const char* kLogName = "kernels";
constexpr const char* kTemporaryName = "kernels.new";
constexpr const char* kLockName = "lock";
constexpr milliseconds kWritePatience{2000};
/// Times of use are kept to this precision, so that most reads write nothing.
constexpr int64_t kUsePrecision = 3600;
constexpr uint64_t kUnit = 64;
constexpr uint64_t kRecordMagic = 0x6472'6f63'6572'4c46;  // "FLrecord"

struct FileHeader {
  std::array<char, 16> magic{'F', 'l', 'a', 'm', 'b', 'e', 'a', 'u',
                             ' ', 'k', 'e', 'r', 'n', 'e', 'l', 's'};
  uint64_t version = 1;
  std::array<uint64_t, 5> unused{};

  friend bool operator==(const FileHeader&, const FileHeader&) = default;
};
static_assert(sizeof(FileHeader) == kUnit);

uint64_t padded(uint64_t bytes) { return (bytes + kUnit - 1) / kUnit * kUnit; }
uint64_t record_bytes(uint64_t payload) { return kUnit + padded(payload); }

std::string system_error() { return std::strerror(errno); }

/// Reads exactly that many bytes; false at the end of the file and on errors.
bool read_all(int fd, std::span<std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t got = pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return true;
}

uint64_t file_size(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

template <class T>
std::span<const std::byte> bytes_of(const T& object) {
  return std::as_bytes(std::span(&object, 1));
}

/// Reads a file front to back in small pieces through one larger buffer.
class Window {
 public:
  explicit Window(int fd) : fd_(fd) {}
  bool read(std::span<std::byte> bytes, uint64_t offset) {
    if (offset < begin_ || offset + bytes.size() > begin_ + filled_) {
      const ssize_t got = pread(fd_, buffer_.data(), buffer_.size(), static_cast<off_t>(offset));
      begin_ = offset;
      filled_ = got > 0 ? static_cast<uint64_t>(got) : 0;
      if (filled_ < bytes.size()) return false;
    }
    std::memcpy(bytes.data(), buffer_.data() + (offset - begin_), bytes.size());
    return true;
  }

 private:
  int fd_;
  uint64_t begin_ = 0;
  uint64_t filled_ = 0;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(32 << 10);
};

}  // namespace

struct KernelLog::RecordHeader {
  uint64_t magic = kRecordMagic;
  Hash128 key;
  uint64_t length = 0;
  uint64_t payload_checksum = 0;
  uint64_t header_checksum = 0;  // of the fields before it
  int64_t last_used = 0;
  uint64_t unused = 0;

  uint64_t checksum() const {
    return hash_bytes(this, offsetof(RecordHeader, header_checksum)).low;
  }
  /// The time of last use, which no checksum covers, within bounds.
  int64_t used() const { return std::max<int64_t>(last_used, 0); }
  bool valid() const { return magic == kRecordMagic && header_checksum == checksum(); }
};

KernelLog::KernelLog(std::filesystem::path folder, uint64_t max_bytes)
    : folder_(std::move(folder)), max_bytes_(max_bytes) {}

void KernelLog::refuse(const std::string& reason) {
  writable_ = false;
  if (std::exchange(warned_, true)) return;
  const std::string text = concat("flambeau: kernel cache in ", folder_.string(), ": ", reason,
                                  "; newly compiled kernels are kept in memory only\n");
  std::fputs(text.c_str(), stderr);
}

bool KernelLog::open() {
  if (!std::exchange(tried_, true) && !folder_.empty() && max_bytes_ > 0) {
    const bool ready =
        open_folder() && (lock_fd_ = open_own_file(kLockName, O_CREAT)) && open_log(false);
    if (!ready) log_fd_.reset();
  }
  return static_cast<bool>(log_fd_);
}

bool KernelLog::open_folder() {
  std::error_code error;
  std::filesystem::create_directories(folder_.parent_path(), error);
  if (mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) {
    refuse(concat("cannot make the folder (", system_error(), ")"));
    return false;
  }
  // A link into the folder is followed only if this user, or the system's, has set it.
  struct stat status{};
  const uid_t self = geteuid();
  if (lstat(folder_.c_str(), &status) == 0 && S_ISLNK(status.st_mode) && status.st_uid != self &&
      status.st_uid != 0) {
    refuse("the folder is a link of another user");
    return false;
  }
  folder_fd_ = FileHandle(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_fd_ || fstat(folder_fd_.get(), &status) != 0) {
    refuse(concat("cannot open the folder (", system_error(), ")"));
    return false;
  }
  if (status.st_uid != self) {
    refuse("the folder belongs to another user");
    return false;
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    refuse("other users may write to the folder");
    return false;
  }
  return true;
}

FileHandle KernelLog::open_own_file(const char* name, int flags) {
  FileHandle file(
      openat(folder_fd_.get(), name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | flags, 0600));
  if (!file) {
    if (errno != ENOENT) refuse(concat("cannot open the file '", name, "' (", system_error(), ")"));
    return {};
  }
  struct stat status{};
  if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink > 1 ||
      status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    refuse(concat("the file '", name,
                  "' is not a plain file that this user owns and no other may write"));
    return {};
  }
  return file;
}

bool KernelLog::has_header(int fd) {
  FileHeader header;
  return read_all(fd, std::as_writable_bytes(std::span(&header, 1)), 0) && header == FileHeader{};
}

bool KernelLog::open_log(bool locked) {
  index_.clear();
  end_ = scanned_ = 0;
  log_fd_ = open_own_file(kLogName, 0);
  if (!log_fd_ || !has_header(log_fd_.get())) {
    if (!writable_) return false;
    if (!locked) {
      // Another process may be making the file at this moment.
      const ByteLock lock(lock_fd_.get(), 0, kWritePatience);
      return lock.held() && open_log(true);
    }
    if (log_fd_) {
      const std::string text = concat("flambeau: kernel cache in ", folder_.string(),
                                      ": the file is damaged and is begun anew\n");
      std::fputs(text.c_str(), stderr);
    }
    return replace_log({});
  }
  struct stat status{};
  if (fstat(log_fd_.get(), &status) != 0) return false;
  inode_ = status.st_ino;
  scan(kUnit);
  return true;
}

bool KernelLog::replace_log(std::span<const std::pair<Hash128, Entry>> kept) {
  unlinkat(folder_fd_.get(), kTemporaryName, 0);
  FileHandle fresh = open_own_file(kTemporaryName, O_CREAT | O_EXCL);
  if (!fresh) return false;
  std::unordered_map<Hash128, Entry> index;
  uint64_t end = kUnit;
  bool good = write_all(fresh.get(), bytes_of(FileHeader{}), 0);
  for (const auto& [key, entry] : kept) {
    RecordHeader header;
    const auto payload = read_entry(key, entry, header);
    if (!payload || !good) continue;
    std::vector<std::byte> record(record_bytes(entry.length));
    std::memcpy(record.data(), &header, kUnit);
    std::copy(payload->begin(), payload->end(), record.begin() + kUnit);
    good = write_all(fresh.get(), record, end);
    index[key] = {end, entry.length, header.used()};
    end += record.size();
  }
  struct stat status{};
  good = good && fstat(fresh.get(), &status) == 0 &&
         renameat(folder_fd_.get(), kTemporaryName, folder_fd_.get(), kLogName) == 0;
  if (!good) {
    refuse(concat("cannot write a new file (", system_error(), ")"));
    unlinkat(folder_fd_.get(), kTemporaryName, 0);
    return false;
  }
  log_fd_ = std::move(fresh);
  inode_ = status.st_ino;
  index_ = std::move(index);
  end_ = scanned_ = end;
  return true;
}

/// Takes in what other processes did since the last look.
void KernelLog::refresh(bool locked) {
  struct stat status{};
  const bool exists = fstatat(folder_fd_.get(), kLogName, &status, AT_SYMLINK_NOFOLLOW) == 0;
  if (!exists || status.st_ino != inode_) {
    if (!open_log(locked)) log_fd_.reset();
  } else if (static_cast<uint64_t>(status.st_size) != scanned_) {
    scan(end_);
  }
}

void KernelLog::scan(uint64_t offset) {
  scanned_ = file_size(log_fd_.get());
  end_ = offset;
  Window window(log_fd_.get());
  while (offset + kUnit <= scanned_) {
    RecordHeader header;
    if (!window.read(std::as_writable_bytes(std::span(&header, 1)), offset)) return;
    if (!header.valid()) {
      offset += kUnit;
      continue;
    }
    if (header.length > scanned_ || record_bytes(header.length) > scanned_ - offset) return;
    index_[header.key] = {offset, header.length, header.used()};
    offset += record_bytes(header.length);
    end_ = offset;
  }
}

std::optional<std::vector<std::byte>> KernelLog::read_entry(const Hash128& key, const Entry& entry,
                                                            RecordHeader& header) const {
  if (!read_all(log_fd_.get(), std::as_writable_bytes(std::span(&header, 1)), entry.offset) ||
      !header.valid() || header.key != key || header.length != entry.length)
    return std::nullopt;
  std::vector<std::byte> payload(header.length);
  if (!read_all(log_fd_.get(), payload, entry.offset + kUnit) ||
      hash_bytes(payload.data(), payload.size()).low != header.payload_checksum)
    return std::nullopt;
  return payload;
}

std::optional<std::vector<std::byte>> KernelLog::read(const Hash128& key) {
  if (!open()) return std::nullopt;
  auto found = index_.find(key);
  if (found == index_.end()) {
    refresh(false);
    if (!log_fd_) return std::nullopt;
    found = index_.find(key);
    if (found == index_.end()) return std::nullopt;
  }
  RecordHeader header;
  auto payload = read_entry(key, found->second, header);
  if (payload) {
    touch(found->second);
  } else {
    index_.erase(found);
  }
  return payload;
}

void KernelLog::touch(Entry& entry) {
  const int64_t now = std::time(nullptr);
  if (now - entry.last_used < kUsePrecision) return;
  entry.last_used = now;
  // Only a hint for the next compaction: its failure changes nothing.
  static_cast<void>(pwrite(log_fd_.get(), &now, sizeof now,
                           static_cast<off_t>(entry.offset + offsetof(RecordHeader, last_used))));
}

void KernelLog::append(const Hash128& key, std::span<const std::byte> payload) {
  if (!open() || !writable_) return;
  const uint64_t bytes = record_bytes(payload.size());
  if (bytes > max_bytes_ / 2) return;
  const ByteLock lock(lock_fd_.get(), 0, kWritePatience);
  if (!lock.held()) return;
  refresh(true);
  if (!log_fd_ || index_.contains(key)) return;
  if (end_ + bytes > max_bytes_ && !make_room(bytes)) return;
  if (write_record(key, payload)) return;
  const std::string reason = system_error();
  // Nothing half-written stays behind; if even this fails, the checksums tell.
  static_cast<void>(ftruncate(log_fd_.get(), static_cast<off_t>(end_)));
  scanned_ = end_;
  refuse(concat("cannot write (", reason, ")"));
}

bool KernelLog::make_room(uint64_t bytes) {
  // Times of use may have been written by others.
  index_.clear();
  scan(kUnit);
  std::vector<std::pair<Hash128, Entry>> kept(index_.begin(), index_.end());
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.last_used, a.second.offset) >
           std::pair(b.second.last_used, b.second.offset);
  });
  uint64_t total = kUnit + bytes;
  const auto is_over = [&](const auto& record) {
    total += record_bytes(record.second.length);
    return total > std::max(max_bytes_ / 2, kUnit + bytes);
  };
  kept.erase(std::find_if(kept.begin(), kept.end(), is_over), kept.end());
  return replace_log(kept);
}

bool KernelLog::write_record(const Hash128& key, std::span<const std::byte> payload) {
  RecordHeader header;
  header.key = key;
  header.length = payload.size();
  header.payload_checksum = hash_bytes(payload.data(), payload.size()).low;
  header.header_checksum = header.checksum();
  header.last_used = std::time(nullptr);
  std::vector<std::byte> record(record_bytes(payload.size()));
  std::memcpy(record.data(), &header, kUnit);
  if (!payload.empty()) std::memcpy(record.data() + kUnit, payload.data(), payload.size());
  // What a crash left behind the last record.
  if (scanned_ > end_ && ftruncate(log_fd_.get(), static_cast<off_t>(end_)) != 0) return false;
  if (!write_all(log_fd_.get(), record, end_)) return false;
  index_[key] = {end_, payload.size(), header.last_used};
  end_ += record.size();
  scanned_ = end_;
  return true;
}

bool KernelLog::write_all(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  // Writing past the process's limit would end the process by a signal.
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      offset + bytes.size() > limit.rlim_cur) {
    errno = EFBIG;
    return false;
  }
  while (!bytes.empty()) {
    const ssize_t put = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      if (put == 0) errno = ENOSPC;
      return false;
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return true;
}

uint64_t KernelLog::file_bytes() const { return log_fd_ ? file_size(log_fd_.get()) : 0; }

ByteLock KernelLog::key_lock(const Hash128& key, milliseconds patience) const {
  // Byte 0 is the lock of writers.
  constexpr uint64_t kKeyBytes = (uint64_t{1} << 62) - 1;
  return ByteLock(lock_fd_.get(), 1 + static_cast<int64_t>(key.low & kKeyBytes), patience);
}

void KernelLog::reopen_locks() {
  if (!lock_fd_) return;
  lock_fd_ = open_own_file(kLockName, O_CREAT);
  if (!lock_fd_) log_fd_.reset();
}

}  // namespace flambeau
