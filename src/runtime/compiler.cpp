#include "runtime/compiler.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "base/bounded_cache.h"
#include "base/error.h"
#include "base/fork.h"
#include "base/settings.h"
#include "codegen/codegen.h"
#include "runtime/code_memory.h"
#include "runtime/compile_queue.h"
#include "runtime/cpu/contraction_driver.h"
#include "runtime/kernel_cache.h"
#include "runtime/kernel_pack.h"
#include "runtime/saved_kernels.h"

namespace flambeau {

/// Generated at build time (cmake/FlambeauFingerprint.cmake).
extern const char* const kCompilerSourcesHash;

namespace {

thread_local constinit bool compile_later = false;

/// A file beside this library.
std::string beside(const char* name) {
  Dl_info self;
  require(dladdr(reinterpret_cast<const void*>(&kCompilerSourcesHash), &self) != 0,
          "compiler: this library has no file");
  std::string path = self.dli_fname;
  path.erase(path.rfind('/') + 1);
  return path + name;
}

const codegen::Api& open_compiler() {
  static const codegen::Api* const api = [] {
    const std::string path = beside("libflambeau_codegen.so");
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    check<EnvironmentError>(library != nullptr, [] {
      return concat("compiler: cannot open the code generator: ", dlerror());
    });
    void* entry = dlsym(library, "flambeau_codegen_api");
    check<EnvironmentError>(entry != nullptr,
                            [&] { return concat("compiler: ", path, " is not of this version"); });
    // The end of the process destroys what the library holds after what was registered after it.
    static_cast<void>(CompileQueue::global());
    std::atexit([] { CompileQueue::global().stop(); });
    return reinterpret_cast<decltype(&flambeau_codegen_api)>(entry)();
  }();
  return *api;
}

/// An image as the cache holds it: the number of entries, the entries, the code.
std::vector<std::byte> pack_image(const codegen::KernelImage& image) {
  const auto count = static_cast<uint32_t>(image.entries.size());
  std::vector<std::byte> out((1 + count) * sizeof(uint32_t) + image.code.size());
  std::memcpy(out.data(), &count, sizeof count);
  std::memcpy(out.data() + sizeof count, image.entries.data(), count * sizeof(uint32_t));
  std::memcpy(out.data() + (1 + count) * sizeof(uint32_t), image.code.data(), image.code.size());
  return out;
}

Hash128 key_of(const CodeRequest& request) {
  return Hasher().add(request.content).add(isa_name(request.isa)).add(compiler_version()).finish();
}

/// The pack of the package. Leaked, as what it maps is read at any time.
const KernelPack& shipped_pack() {
  static const auto* const pack = [] {
    const std::string file = setting("FLAMBEAU_KERNEL_PACK");
    return new KernelPack(file.empty() ? beside("kernels.pack") : file);
  }();
  return *pack;
}

/// What record_kernels() collects.
struct Recorder {
  std::mutex mutex;
  std::atomic<bool> is_on = false;
  PackedKernels kernels;
  static Recorder& global() {
    static auto* const recorder = new Recorder;
    return *recorder;
  }

  void add(const Hash128& key, std::vector<std::byte> bytes) {
    const std::lock_guard lock(mutex);
    kernels.emplace(key, std::move(bytes));
  }
};

/// An image in memory.
struct Code {
  const void* data = nullptr;
  std::vector<CodeEntry> entries;
};

Code load_image(std::span<const std::byte> packed) {
  // The cache checks what it reads; these lengths only guard against an older form of its values.
  uint32_t count = 0;
  require(packed.size() >= sizeof count, "compiler: a cached kernel is cut short");
  std::memcpy(&count, packed.data(), sizeof count);
  const size_t header = (size_t{1} + count) * sizeof(uint32_t);
  require(packed.size() > header, "compiler: a cached kernel is cut short");
  const auto* code = static_cast<const std::byte*>(load_code(packed.subspan(header)));
  Code loaded{code, {}};
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t offset = 0;
    std::memcpy(&offset, packed.data() + (1 + i) * sizeof(uint32_t), sizeof offset);
    loaded.entries.push_back(
        reinterpret_cast<CodeEntry>(reinterpret_cast<uintptr_t>(code + offset)));
  }
  return loaded;
}

/// The images that were asked for last. Others live as long as somebody holds their entries.
class LoadedImages {
 public:
  struct Image {
    Image() = default;
    ~Image() {
      if (code.data != nullptr) unload_code(code.data);
    }
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;

    ForkSafe<std::mutex> mutex;              ///< held while the code is loaded or compiled
    std::atomic<bool> is_compiling = false;  ///< who holds the mutex: others need not wait
    Code code;                               ///< none until it is loaded
    Hash128 key;                             ///< of the caches, from when somebody asked for it
  };
  std::shared_ptr<Image> image(const Hash128& content) {
    if (auto known = images_.find(content)) return *std::move(known);
    return images_.add(content, std::make_shared<Image>());
  }
  /// Keys of those that are loaded.
  std::vector<Hash128> keys() {
    std::vector<Hash128> keys;
    for (const std::shared_ptr<Image>& image : images_.values()) {
      const std::lock_guard lock(image->mutex);
      if (!image->code.entries.empty()) keys.push_back(image->key);
    }
    return keys;
  }
  /// Leaked: kernels may run while static objects are destroyed.
  static LoadedImages& global() {
    static auto* const images = new LoadedImages;
    return *images;
  }

 private:
  static constexpr size_t kMaxImages = 8192;
  BoundedCache<Hash128, std::shared_ptr<Image>> images_{kMaxImages};
};

/// What add_saved_kernels() was given.
struct SavedKernels {
  ForkSafe<std::mutex> mutex;
  std::unordered_map<Hash128, std::vector<std::byte>> bytes;  // never removed
  static SavedKernels& global() {
    static auto* const kernels = new SavedKernels;
    return *kernels;
  }
  std::span<const std::byte> find(const Hash128& key) {
    const std::lock_guard lock(mutex);
    const auto found = bytes.find(key);
    return found == bytes.end() ? std::span<const std::byte>() : found->second;
  }
};

/// From the pack of the package, or from another process.
std::span<const std::byte> given_kernel(const Hash128& key) {
  const std::span<const std::byte> shipped = shipped_pack().find(key);
  return shipped.empty() ? SavedKernels::global().find(key) : shipped;
}

/// While one lives, the thread that holds the image's mutex compiles it.
class Compiling {
 public:
  explicit Compiling(LoadedImages::Image& image) : image_(image) { image_.is_compiling = true; }
  ~Compiling() { image_.is_compiling = false; }
  Compiling(const Compiling&) = delete;
  Compiling& operator=(const Compiling&) = delete;

 private:
  LoadedImages::Image& image_;
};

class CachedContractionLoader final : public ContractionLoader {
 public:
  const CodeEntry* load(const codegen::MicroKernelPart& part) override {
    return held(get_code(request_of(part, &codegen::Api::compile_micro_kernels)));
  }
  const CodeEntry* load(const codegen::PackPart& part) override {
    return held(get_code(request_of(part, &codegen::Api::compile_pack)));
  }
  ir::KernelFunction load(const ir::LoopProgram& epilogue) override {
    LoadedKernel kernel = get_kernel(epilogue);
    held(std::move(kernel.code));
    return kernel.function;
  }

 private:
  const CodeEntry* held(CodeEntries entries) {
    held_.push_back(std::move(entries));
    return held_.back().get();
  }
  template <class Part>
  static RequestForIsa request_of(const Part& given,
                                  codegen::KernelImage (*codegen::Api::*compile)(const Part&,
                                                                                 Isa)) {
    return [given, compile](Isa isa) {
      const Part part = given.at(isa);
      return CodeRequest{part.hash(), part.operand == DType::BFloat16 ? isa : without_bfloat16(isa),
                         [part, compile](const codegen::Api& api, Isa level) {
                           return (api.*compile)(part, level);
                         }};
    };
  }

  std::vector<CodeEntries> held_;
};

}  // namespace

Hash128 compiler_version() {
  static const Hash128 version = Hasher().add(std::string_view(kCompilerSourcesHash)).finish();
  return version;
}

CompileLater::CompileLater() : before_(compile_later) { compile_later = true; }
CompileLater::~CompileLater() { compile_later = before_; }
bool CompileLater::is_on() { return compile_later; }
void wait_for_compiler() { CompileQueue::global().wait(); }

CodeEntries get_code(const RequestForIsa& request) {
  const CodeRequest wanted = request(active_isa());
  const std::shared_ptr<LoadedImages::Image> image = LoadedImages::global().image(wanted.content);
  const auto entries = [&] { return CodeEntries(image, image->code.entries.data()); };
  std::unique_lock lock(image->mutex, std::defer_lock);
  if (!compile_later)
    lock.lock();
  else
    while (!lock.try_lock()) {
      if (image->is_compiling) throw KernelMissing();
      std::this_thread::yield();  // others load the code, too
    }
  if (!image->code.entries.empty()) return entries();
  image->key = key_of(wanted);
  if (Recorder::global().is_on) {
    const Compiling compiling(*image);
    const codegen::Api& api = open_compiler();
    std::unordered_map<Hash128, std::future<std::vector<std::byte>>> compiled;
    for (const Isa isa : kAllIsas) {
      const CodeRequest each = request(isa);
      std::future<std::vector<std::byte>>& bytes = compiled[key_of(each)];
      if (!bytes.valid())
        bytes = std::async(std::launch::async,
                           [&api, each] { return pack_image(each.compile(api, each.isa)); });
    }
    for (auto& [key, bytes] : compiled) {
      std::vector<std::byte> image_bytes = bytes.get();
      if (key == key_of(wanted)) image->code = load_image(image_bytes);
      Recorder::global().add(key, std::move(image_bytes));
    }
    return entries();
  }
  const Hash128 key = key_of(wanted);
  if (const std::span<const std::byte> packed = given_kernel(key); !packed.empty()) {
    image->code = load_image(packed);
    return entries();
  }
  if (compile_later && KernelCache::global().find(key) == nullptr) {
    static_cast<void>(open_compiler());  // before the thread starts, to outlive it
    CompileQueue::global().add(wanted.content, [request] { get_code(request); });
    throw KernelMissing();
  }
  std::optional<Compiling> compiling;
  if (!compile_later) compiling.emplace(*image);  // else it was found
  const CachedBytes bytes = KernelCache::global().get_or_compile(
      key, [&] { return pack_image(wanted.compile(open_compiler(), wanted.isa)); });
  image->code = load_image(*bytes);
  return entries();
}

LoadedKernel get_kernel(const ir::LoopProgram& program) {
  const bool writes_bfloat16 =
      std::any_of(program.buffers.begin(), program.buffers.end(), [](const ir::BufferInfo& buffer) {
        return buffer.is_output && buffer.dtype == DType::BFloat16;
      });
  CodeEntries entries = get_code([program, writes_bfloat16](Isa isa) {
    return CodeRequest{program.hash(), writes_bfloat16 ? isa : without_bfloat16(isa),
                       [program](const codegen::Api& api, Isa level) {
                         return api.compile_loops(program, level);
                       }};
  });
  const auto function = reinterpret_cast<ir::KernelFunction>(entries[0]);
  return {function, std::move(entries)};
}

std::vector<SavedKernel> saved_kernels() {
  std::vector<SavedKernel> list;
  for (const Hash128& key : LoadedImages::global().keys()) {
    if (const std::span<const std::byte> given = given_kernel(key); !given.empty())
      list.push_back({key, {given.begin(), given.end()}});
    else if (const CachedBytes compiled = KernelCache::global().find(key))
      list.push_back({key, *compiled});
  }
  return list;
}

void add_saved_kernels(std::vector<SavedKernel> kernels) {
  SavedKernels& saved = SavedKernels::global();
  const std::lock_guard lock(saved.mutex);
  for (SavedKernel& kernel : kernels) saved.bytes.emplace(kernel.key, std::move(kernel.bytes));
}

void record_kernels() { Recorder::global().is_on = true; }

size_t write_recorded_kernels(const std::string& file) {
  Recorder& recorder = Recorder::global();
  const std::lock_guard lock(recorder.mutex);
  write_kernel_pack(file, recorder.kernels);
  return recorder.kernels.size();
}

std::unique_ptr<ContractionLoader> contraction_loader() {
  return std::make_unique<CachedContractionLoader>();
}

}  // namespace flambeau
