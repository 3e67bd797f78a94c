#include "runtime/compiler.h"

#include <dlfcn.h>

#include <cstring>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "codegen/codegen.h"
#include "runtime/code_memory.h"
#include "runtime/cpu/contraction_driver.h"
#include "runtime/kernel_cache.h"

namespace flambeau {

/// Generated at build time (cmake/FlambeauFingerprint.cmake).
extern const char* const kCompilerSourcesHash;

namespace {

const codegen::Api& open_compiler() {
  static const codegen::Api* const api = [] {
    Dl_info self;
    require(dladdr(reinterpret_cast<const void*>(&kCompilerSourcesHash), &self) != 0,
            "compiler: this library has no file");
    std::string path = self.dli_fname;
    path.erase(path.rfind('/') + 1);
    path += "libflambeau_codegen.so";
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    check<EnvironmentError>(library != nullptr, [] {
      return concat("compiler: cannot open the code generator: ", dlerror());
    });
    void* entry = dlsym(library, "flambeau_codegen_api");
    check<EnvironmentError>(entry != nullptr,
                            [&] { return concat("compiler: ", path, " is not of this version"); });
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

std::vector<CodeEntry> load_image(std::span<const std::byte> packed) {
  // The cache checks what it reads; these lengths only guard against an older form of its values.
  uint32_t count = 0;
  require(packed.size() >= sizeof count, "compiler: a cached kernel is cut short");
  std::memcpy(&count, packed.data(), sizeof count);
  const size_t header = (size_t{1} + count) * sizeof(uint32_t);
  require(packed.size() > header, "compiler: a cached kernel is cut short");
  const auto* code = static_cast<const std::byte*>(load_code(packed.subspan(header)));
  std::vector<CodeEntry> entries;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t offset = 0;
    std::memcpy(&offset, packed.data() + (1 + i) * sizeof(uint32_t), sizeof offset);
    entries.push_back(reinterpret_cast<CodeEntry>(reinterpret_cast<uintptr_t>(code + offset)));
  }
  return entries;
}

/// The images of the process. Entries are never removed, so that references stay valid.
class LoadedImages {
 public:
  struct Image {
    std::mutex mutex;                ///< held while the code is compiled
    std::vector<CodeEntry> entries;  ///< empty until it is loaded
  };
  Image& image(const Hash128& content) {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Image>& slot = images_[content];
    if (slot == nullptr) slot = std::make_unique<Image>();
    return *slot;
  }
  /// Leaked: kernels may run while static objects are destroyed.
  static LoadedImages& global() {
    static auto* const images = new LoadedImages;
    return *images;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<Hash128, std::unique_ptr<Image>> images_;
};

class CachedContractionLoader final : public ContractionLoader {
 public:
  const CodeEntry* load(const codegen::MicroKernelPart& part) override {
    return get_code(part.hash(), [&](const codegen::Api& api) {
      return api.compile_micro_kernels(part, active_isa());
    });
  }
  const CodeEntry* load(const codegen::PackPart& part) override {
    return get_code(part.hash(),
                    [&](const codegen::Api& api) { return api.compile_pack(part, active_isa()); });
  }
  ir::KernelFunction load(const ir::LoopProgram& epilogue) override { return get_kernel(epilogue); }
};

}  // namespace

Hash128 compiler_version() {
  static const Hash128 version = Hasher().add(std::string_view(kCompilerSourcesHash)).finish();
  return version;
}

const CodeEntry* get_code(const Hash128& content,
                          FunctionRef<codegen::KernelImage(const codegen::Api&)> compile) {
  LoadedImages::Image& image = LoadedImages::global().image(content);
  const std::lock_guard lock(image.mutex);
  if (image.entries.empty()) {
    const Hash128 key = Hasher()
                            .add(content)
                            .add(std::string_view(isa_cache_key(active_isa())))
                            .add(compiler_version())
                            .finish();
    const CachedBytes bytes = KernelCache::global().get_or_compile(
        key, [&] { return pack_image(compile(open_compiler())); });
    image.entries = load_image(*bytes);
  }
  return image.entries.data();
}

ir::KernelFunction get_kernel(const ir::LoopProgram& program) {
  const CodeEntry* entries = get_code(program.hash(), [&](const codegen::Api& api) {
    return api.compile_loops(program, active_isa());
  });
  return reinterpret_cast<ir::KernelFunction>(entries[0]);
}

std::unique_ptr<ContractionLoader> contraction_loader() {
  return std::make_unique<CachedContractionLoader>();
}

}  // namespace flambeau
