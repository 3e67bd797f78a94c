#include "eager/call_key.h"

#include <bit>
#include <cstring>

#include "base/prefetch.h"

namespace flambeau {

using ops::Definition;

namespace {

void add_tensor(CallKey& key, const TensorInfo* info, bool with_offset) {
  if (info == nullptr) return key.push_back(-1);
  // The bit that no other argument's first word has: a 0-dim tensor is not None.
  key.push_back(static_cast<int64_t>(info->dtype) | int64_t{info->dim()} << 8 | int64_t{1} << 62);
  key.append(info->sizes.begin(), info->sizes.end());
  key.append(info->strides.begin(), info->strides.end());
  if (with_offset) key.push_back(static_cast<const TensorImpl*>(info)->offset);
}

void add_bytes(CallKey& key, const void* data, size_t bytes) {
  for (size_t done = 0; done < bytes; done += sizeof(int64_t)) {
    int64_t word = 0;
    std::memcpy(&word, static_cast<const char*>(data) + done, std::min(sizeof word, bytes - done));
    key.push_back(word);
  }
}

}  // namespace

bool numbers_are_free(const Definition& op) {
  const bool infers_by_numbers = !op.elementwise() && op.returns != ops::Returns::Self;
  return !infers_by_numbers && op.canonical == nullptr && op.fitting.empty() && !op.result_sizes;
}

CallKey call_key(const Definition& op, std::span<const ops::Argument> arguments, CallForm form) {
  CallKey key;
  const bool free_numbers = numbers_are_free(op);
  key.push_back(op.id | int64_t{static_cast<uint8_t>(form)} << 32 |
                int64_t{static_cast<uint8_t>(ops::default_dtype())} << 40);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const ops::Argument& argument = arguments[i];
    const auto head = [&](size_t detail) {
      key.push_back(static_cast<int64_t>(argument.index() | detail << 8));
    };
    if (const auto* one = std::get_if<const TensorInfo*>(&argument)) {
      add_tensor(key, *one, op.alias != nullptr);
    } else if (const auto* number = std::get_if<Scalar>(&argument)) {
      const bool is_free = free_numbers && op.role(i, argument) == Definition::Role::Number;
      head(static_cast<size_t>(number->category()) * 2 + (is_free ? 1 : 0));
      if (!is_free) {
        key.push_back(static_cast<int64_t>(number->bits()));
        if (number->is_complex()) key.push_back(std::bit_cast<int64_t>(number->imag()));
      }
    } else if (const auto* ints = std::get_if<Ints>(&argument)) {
      head(ints->size());
      key.append(ints->begin(), ints->end());
    } else if (const auto* list = std::get_if<ops::TensorRefs>(&argument)) {
      head(list->size());
      for (size_t item = 0; item < list->size(); ++item) {
        if (item + kPrefetchAhead < list->size())
          prefetch(static_cast<const TensorImpl*>((*list)[item + kPrefetchAhead]));
        add_tensor(key, (*list)[item], op.alias != nullptr);
      }
    } else if (const auto* dtype = std::get_if<DType>(&argument)) {
      head(static_cast<size_t>(*dtype));
    } else if (const auto* text = std::get_if<std::string>(&argument)) {
      head(text->size());
      add_bytes(key, text->data(), text->size());
    } else if (const auto* reals = std::get_if<std::vector<double>>(&argument)) {
      head(reals->size());
      add_bytes(key, reals->data(), reals->size() * sizeof(double));
    } else {
      head(0);
    }
  }
  return key;
}

}  // namespace flambeau
