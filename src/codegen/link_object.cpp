#include <elf.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "codegen/image.h"

namespace flambeau::codegen {
namespace {

constexpr size_t kUnplaced = SIZE_MAX;

/// The object's tables, read without trusting them further than their sizes.
class Linker {
 public:
  explicit Linker(std::span<const std::byte> object) : object_(object) {
    const auto header = read<Elf64_Ehdr>(0);
    require(std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_type == ET_REL &&
                header.e_machine == EM_X86_64,
            "codegen: not an x86-64 relocatable");
    for (size_t i = 0; i < header.e_shnum; ++i)
      sections_.push_back(read<Elf64_Shdr>(header.e_shoff + i * sizeof(Elf64_Shdr)));
    names_ = sections_.at(header.e_shstrndx);
    for (const Elf64_Shdr& section : sections_) {
      if (section.sh_type != SHT_SYMTAB) continue;
      symbol_names_ = sections_.at(section.sh_link);
      for (size_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym))
        symbols_.push_back(read<Elf64_Sym>(section.sh_offset + at));
    }
  }

  KernelImage link(std::span<const std::string> entry_names) {
    place_sections();
    for (const Elf64_Shdr& section : sections_)
      if (section.sh_type == SHT_RELA && place_.at(section.sh_info) != kUnplaced) relocate(section);
    for (const std::string& name : entry_names) {
      const auto found = std::find_if(symbols_.begin(), symbols_.end(), [&](const Elf64_Sym& s) {
        return ELF64_ST_TYPE(s.st_info) == STT_FUNC && symbol_name(s) == name;
      });
      check<InternalError>(found != symbols_.end(),
                           [&] { return concat("codegen: no function ", name, " in the object"); });
      image_.entries.push_back(static_cast<uint32_t>(address(*found)));
    }
    return std::move(image_);
  }

 private:
  template <class T>
  T read(size_t offset) const {
    require(offset + sizeof(T) <= object_.size(), "codegen: truncated object");
    T value;
    std::memcpy(&value, object_.data() + offset, sizeof value);
    return value;
  }
  const char* text_at(const Elf64_Shdr& strings, size_t offset) const {
    require(strings.sh_offset + offset < object_.size(), "codegen: truncated object");
    return reinterpret_cast<const char*>(object_.data() + strings.sh_offset + offset);
  }
  std::string symbol_name(const Elf64_Sym& symbol) const {
    if (ELF64_ST_TYPE(symbol.st_info) == STT_SECTION)
      return text_at(names_, sections_.at(symbol.st_shndx).sh_name);
    return text_at(symbol_names_, symbol.st_name);
  }

  void place_sections() {
    place_.assign(sections_.size(), kUnplaced);
    // Code first: entries are then small offsets, and constants share the last pages.
    for (const bool executable : {true, false}) {
      for (size_t i = 0; i < sections_.size(); ++i) {
        const Elf64_Shdr& section = sections_[i];
        const bool is_code = (section.sh_flags & SHF_EXECINSTR) != 0;
        if ((section.sh_flags & SHF_ALLOC) == 0 || is_code != executable) continue;
        if (section.sh_size == 0 || section.sh_type == SHT_X86_64_UNWIND) continue;
        check<InternalError>(section.sh_type == SHT_PROGBITS && (section.sh_flags & SHF_WRITE) == 0,
                             [&] {
                               return concat("codegen: a kernel image cannot hold section ",
                                             text_at(names_, section.sh_name));
                             });
        const size_t alignment = std::max<size_t>(section.sh_addralign, 1);
        require(alignment <= 64, "codegen: section alignment above 64");
        place_[i] = (image_.code.size() + alignment - 1) / alignment * alignment;
        require(section.sh_offset + section.sh_size <= object_.size(), "codegen: truncated object");
        image_.code.resize(place_[i] + section.sh_size);
        std::memcpy(image_.code.data() + place_[i], object_.data() + section.sh_offset,
                    section.sh_size);
      }
    }
  }

  size_t address(const Elf64_Sym& symbol) const {
    const bool placed = symbol.st_shndx != SHN_UNDEF && symbol.st_shndx < place_.size() &&
                        place_[symbol.st_shndx] != kUnplaced;
    check<InternalError>(placed, [&] {
      return concat("codegen: a kernel refers to the outside symbol ", symbol_name(symbol));
    });
    return place_[symbol.st_shndx] + symbol.st_value;
  }

  void relocate(const Elf64_Shdr& table) {
    for (size_t at = 0; at < table.sh_size; at += sizeof(Elf64_Rela)) {
      const auto entry = read<Elf64_Rela>(table.sh_offset + at);
      const auto type = ELF64_R_TYPE(entry.r_info);
      const Elf64_Sym& symbol = symbols_.at(ELF64_R_SYM(entry.r_info));
      check<InternalError>(type == R_X86_64_PC32 || type == R_X86_64_PLT32, [&] {
        return concat("codegen: relocation type ", type, " against ", symbol_name(symbol),
                      " is not position-independent");
      });
      const size_t place = place_[table.sh_info] + entry.r_offset;
      const int64_t value =
          static_cast<int64_t>(address(symbol)) + entry.r_addend - static_cast<int64_t>(place);
      require(place + 4 <= image_.code.size() && value == static_cast<int32_t>(value),
              "codegen: relocation out of range");
      const auto field = static_cast<int32_t>(value);
      std::memcpy(image_.code.data() + place, &field, sizeof field);
    }
  }

  std::span<const std::byte> object_;
  std::vector<Elf64_Shdr> sections_;
  std::vector<Elf64_Sym> symbols_;
  Elf64_Shdr names_{};
  Elf64_Shdr symbol_names_{};
  std::vector<size_t> place_;  ///< offset of each section in the image
  KernelImage image_;
};

}  // namespace

KernelImage link_object(std::span<const std::byte> object,
                        std::span<const std::string> entry_names) {
  return Linker(object).link(entry_names);
}

}  // namespace flambeau::codegen
