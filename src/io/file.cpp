#include "io/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace flambeau::io {
namespace {

std::string error_text(int error) { return std::generic_category().message(error); }

/// Calls `function` again while a signal interrupts it.
template <class Function>
auto retried(const Function& function) {
  auto result = function();
  while (result < 0 && errno == EINTR) result = function();
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int file) : file_(file) {}
  ~Descriptor() {
    if (file_ >= 0) ::close(file_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return file_; }

 private:
  int file_;
};

}  // namespace

Ref<Storage> map_file(const std::string& path, bool read_only) {
  const auto fail = [&](int error) {
    throw EnvironmentError(concat("load_file: cannot read '", path, "': ", error_text(error)));
  };
  const Descriptor file(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (file.get() < 0) fail(errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) fail(errno);
  if (S_ISDIR(status.st_mode)) fail(EISDIR);
  const auto bytes = static_cast<size_t>(status.st_size);
  const Sharing sharing = read_only ? Sharing::ReadOnly : Sharing::Private;
  if (bytes == 0) return make_ref<Storage>(nullptr, size_t{0}, [] {}, sharing);
  const int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  void* data = ::mmap(nullptr, bytes, protection, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) fail(errno);
  return make_ref<Storage>(data, bytes, [data, bytes] { ::munmap(data, bytes); }, sharing);
}

ReplacedFile::ReplacedFile(const std::string& path) {
  std::error_code error;
  const auto target = std::filesystem::weakly_canonical(path, error);
  path_ = error ? path : target.string();
  const std::filesystem::path where(path_);
  temporary_ = (where.parent_path() / concat(".", where.filename().string(), ".tmp")).string();
  if (std::filesystem::is_directory(where, error)) fail("write", EISDIR);
  // The name is always the same, so that a writer that was killed leaves at most one file. Whoever
  // has the lock of the file that has the name may write it.
  while (true) {
    file_ =
        retried([&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666); });
    if (file_ < 0) fail("write", errno);
    if (retried([&] { return ::flock(file_, LOCK_EX); }) != 0) fail("lock", errno);
    struct stat opened{};
    struct stat named{};
    if (::fstat(file_, &opened) == 0 && ::stat(temporary_.c_str(), &named) == 0 &&
        opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
      break;
    ::close(file_);
    file_ = -1;
  }
  if (retried([&] { return ::ftruncate(file_, 0); }) != 0) fail("write", errno);
}

ReplacedFile::~ReplacedFile() { discard(); }

void ReplacedFile::discard() {
  if (file_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(file_);
  file_ = -1;
}

void ReplacedFile::fail(const char* doing, int error) {
  discard();
  throw EnvironmentError(concat("save_file: cannot ", doing, " '", path_, "': ", error_text(error),
                                "; what was there is unchanged"));
}

void ReplacedFile::write(const void* data, size_t bytes) {
  // Linux writes at most 2 GiB at a time.
  constexpr size_t kMost = size_t{1} << 30;
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t count = retried([&] { return ::write(file_, next, std::min(bytes, kMost)); });
    if (count < 0) fail("write", errno);
    next += count;
    bytes -= static_cast<size_t>(count);
  }
}

void ReplacedFile::commit() {
  if (retried([&] { return ::fsync(file_); }) != 0) fail("write", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("replace", errno);
  ::close(file_);
  file_ = -1;
  // Without this the name may still be the old file's after a power failure.
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) retried([&] { return ::fsync(directory.get()); });
}

}  // namespace flambeau::io
