#pragma once
// Tensors as text, exactly as PyTorch prints them.

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace flambeau {

/// torch.set_printoptions
struct PrintOptions {
  int64_t precision = 4;     ///< digits after the point
  int64_t threshold = 1000;  ///< tensors of more elements are summarised
  int64_t edge_items = 3;    ///< shown at each end of a summarised axis
  int64_t line_width = 80;
  std::optional<bool> scientific;  ///< chosen by the values if not set
};

/// The options of the process.
PrintOptions print_options();
void set_print_options(const PrintOptions& options);

/// What the text of a tensor says beside its values.
struct PrintContext {
  std::string prefix = "tensor(";
  DType default_dtype = DType::Float32;    ///< not mentioned
  std::vector<std::string> suffixes = {};  ///< "requires_grad=True"
};

/// "tensor([1., 2.], dtype=torch.float64)"
std::string text_of(const Tensor& tensor, const PrintOptions& options = print_options(),
                    const PrintContext& context = {});

std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

}  // namespace flambeau
