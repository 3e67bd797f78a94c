// The linker of flat images, on small objects made by hand.

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "codegen/image.h"
#include "tests/codegen/kernel_run.h"

namespace flambeau::test {
namespace {

/// An object with one code section, one section of constants and a function `f` at the code's
/// start.
struct ObjectParts {
  std::vector<uint8_t> code;
  std::vector<uint8_t> constants;
  uint64_t constants_flags = SHF_ALLOC;
  /// One relocation of the code; against the constants section, or the undefined symbol "sin".
  bool relocate = false;
  bool undefined = false;
  uint32_t type = R_X86_64_PC32;
  uint64_t offset = 0;
  int64_t addend = 0;
};

std::vector<std::byte> make_object(const ObjectParts& parts) {
  enum Section : uint32_t { kNull, kText, kData, kRela, kSymbols, kStrings, kCount };
  const std::string strings = std::string("\0f\0sin\0.text\0.rodata\0", 21);
  std::vector<Elf64_Sym> symbols(4);
  symbols[1] = {1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, kText, 0, parts.code.size()};
  symbols[2] = {0, ELF64_ST_INFO(STB_LOCAL, STT_SECTION), 0, kData, 0, 0};
  symbols[3] = {3, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, SHN_UNDEF, 0, 0};
  std::vector<Elf64_Rela> relocations;
  if (parts.relocate)
    relocations.push_back(
        {parts.offset, ELF64_R_INFO(parts.undefined ? 3UL : 2UL, parts.type), parts.addend});

  std::vector<std::byte> out(sizeof(Elf64_Ehdr));
  Elf64_Shdr headers[kCount] = {};
  const auto add = [&](Section section, uint32_t type, uint64_t flags, const void* data,
                       size_t size, uint64_t alignment) {
    while (out.size() % 16 != 0) out.push_back({});
    headers[section].sh_type = type;
    headers[section].sh_flags = flags;
    headers[section].sh_offset = out.size();
    headers[section].sh_size = size;
    headers[section].sh_addralign = alignment;
    const auto* bytes = static_cast<const std::byte*>(data);
    out.insert(out.end(), bytes, bytes + size);
  };
  add(kText, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, parts.code.data(), parts.code.size(), 16);
  add(kData, SHT_PROGBITS, parts.constants_flags, parts.constants.data(), parts.constants.size(),
      32);
  add(kRela, SHT_RELA, 0, relocations.data(), relocations.size() * sizeof(Elf64_Rela), 8);
  add(kSymbols, SHT_SYMTAB, 0, symbols.data(), symbols.size() * sizeof(Elf64_Sym), 8);
  add(kStrings, SHT_STRTAB, 0, strings.data(), strings.size(), 1);
  headers[kText].sh_name = 7;
  headers[kData].sh_name = 13;
  headers[kRela].sh_info = kText;
  headers[kRela].sh_link = kSymbols;
  headers[kSymbols].sh_link = kStrings;
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_type = ET_REL;
  header.e_machine = EM_X86_64;
  header.e_shoff = out.size();
  header.e_shnum = kCount;
  header.e_shstrndx = kStrings;
  std::memcpy(out.data(), &header, sizeof header);
  const auto* table = reinterpret_cast<const std::byte*>(headers);
  out.insert(out.end(), table, table + sizeof headers);
  return out;
}

/// `mov eax, [rip + constants]; ret`: the field is at 2, relative to the end of the instruction.
ObjectParts load_constant() {
  ObjectParts parts;
  parts.code = {0x8b, 0x05, 0, 0, 0, 0, 0xc3};
  parts.constants = {1, 0, 0, 0, 42, 0, 0, 0};
  parts.relocate = true;
  parts.offset = 2;
  parts.addend = 4 - 4;  // the second constant, less the field's distance to the end
  return parts;
}

codegen::KernelImage link(const ObjectParts& parts, const std::string& entry = "f") {
  return codegen::link_object(make_object(parts), {&entry, 1});
}

void expect_refused(const ObjectParts& parts, const char* what, const std::string& entry = "f") {
  try {
    link(parts, entry);
    FAIL() << "accepted; expected " << what;
  } catch (const InternalError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(what));
  }
}

TEST(Image, ReadsItsConstants) {
  const auto image = link(load_constant());
  const auto* code = static_cast<const std::byte*>(load_code(image.code));
  const auto f = reinterpret_cast<int (*)()>(reinterpret_cast<uintptr_t>(code + image.entries[0]));
  EXPECT_EQ(f(), 42);
}

TEST(Image, RefusesOutsideSymbols) {
  ObjectParts parts = load_constant();
  parts.undefined = true;
  expect_refused(parts, "outside symbol sin");
}

TEST(Image, RefusesAbsoluteAddresses) {
  ObjectParts parts = load_constant();
  parts.type = R_X86_64_32;
  expect_refused(parts, "relocation type 10 against .rodata");
}

TEST(Image, RefusesWritableData) {
  ObjectParts parts = load_constant();
  parts.constants_flags |= SHF_WRITE;
  expect_refused(parts, "cannot hold section .rodata");
}

TEST(Image, RefusesRelocationsOutsideTheImage) {
  ObjectParts parts = load_constant();
  parts.offset = 1000;
  expect_refused(parts, "relocation out of range");
}

TEST(Image, RefusesAMissingEntry) { expect_refused(load_constant(), "no function g", "g"); }

TEST(Image, RefusesWhatIsNotAnObject) {
  const std::vector<std::byte> nothing(100);
  EXPECT_THROW(codegen::link_object(nothing, {}), InternalError);
  EXPECT_THROW(codegen::link_object({}, {}), InternalError);
  std::vector<std::byte> cut = make_object(load_constant());
  cut.resize(cut.size() - 100);
  EXPECT_THROW(codegen::link_object(cut, {}), InternalError);
}

}  // namespace
}  // namespace flambeau::test
