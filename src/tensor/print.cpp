#include "tensor/print.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <ostream>

#include "base/error.h"
#include "tensor/element.h"

namespace flambeau {
namespace {

std::mutex options_mutex;
PrintOptions current_options;

/// printf's text, where NaN has no sign.
std::string format_double(const char* format, int64_t precision, double value) {
  if (std::isnan(value)) return "nan";
  std::array<char, 512> text{};
  const int size =
      std::snprintf(text.data(), text.size(), format, static_cast<int>(precision), value);
  return {text.data(), static_cast<size_t>(size)};
}

/// The style and width that numbers of one kind are written in.
class Format {
 public:
  explicit Format(const PrintOptions& options) : options_(options) {}

  size_t width() const { return width_; }

  /// Bools and integers: wide enough for each.
  void add(const Scalar& value) { widen(integer_text(value)); }

  /// PyTorch's rule: whole numbers without digits, powers of ten where magnitudes differ much; only
  /// finite values other than zero count.
  void choose_float_style(const std::vector<double>& values) {
    floating_ = true;
    whole_ = true;
    double least = INFINITY;
    double greatest = 0;
    for (const double value : values) {
      if (!std::isfinite(value) || value == 0) continue;
      least = std::min(least, std::fabs(value));
      greatest = std::max(greatest, std::fabs(value));
      whole_ = whole_ && value == std::ceil(value);
    }
    if (greatest == 0) return;
    const bool wide = greatest / least > 1000.0 || greatest > 1.0e8;
    const bool by_values = wide || (!whole_ && least < 1.0e-4);
    for (const double value : values) {
      if (!std::isfinite(value) || value == 0) continue;
      if (by_values)
        widen(scientific(value));
      else
        widen(whole_ ? whole(value) + "." : fixed(value));
    }
    scientific_ = options_.scientific.value_or(by_values);
  }

  /// The number without padding.
  std::string bare(const Scalar& v) const {
    if (!floating_) return integer_text(v);
    const double value = v.to_double();
    if (scientific_) return scientific(value);
    return whole_ ? whole(value) + (std::isfinite(value) ? "." : "") : fixed(value);
  }
  std::string text(const Scalar& v) const {
    const std::string number = bare(v);
    return std::string(width_ - std::min(width_, number.size()), ' ') + number;
  }

 private:
  static std::string integer_text(const Scalar& value) {
    if (value.category() == DTypeCategory::Bool) return value.to_bool() ? "True" : "False";
    return std::to_string(value.to_int());
  }
  std::string scientific(double v) const { return format_double("%.*e", options_.precision, v); }
  std::string fixed(double v) const { return format_double("%.*f", options_.precision, v); }
  static std::string whole(double v) { return format_double("%.*f", 0, v); }
  void widen(const std::string& text) { width_ = std::max(width_, text.size()); }

  const PrintOptions& options_;
  bool floating_ = false;
  bool whole_ = false;
  bool scientific_ = false;
  size_t width_ = 1;
};

/// Writes the elements of one tensor; a complex one's parts each have their format.
class Printer {
 public:
  Printer(const Tensor& tensor, const PrintOptions& options)
      : tensor_(tensor),
        options_(options),
        summarize_(tensor.numel() > options.threshold),
        complex_(is_complex(tensor.dtype())),
        format_(options),
        imaginary_(options) {
    if (!is_inexact(tensor.dtype())) {
      for_each_shown(0, 0, [&](const Scalar& v) { format_.add(v); });
      return;
    }
    std::vector<double> values;
    std::vector<double> imaginary;
    for_each_shown(0, 0, [&](const Scalar& v) {
      values.push_back(v.to_double());
      if (complex_) imaginary.push_back(v.imag());
    });
    format_.choose_float_style(values);
    if (complex_) imaginary_.choose_float_style(imaginary);
  }

  std::string text(size_t indent) const { return axis_text(0, 0, indent); }

 private:
  bool is_cut(size_t axis) const {
    return summarize_ && tensor_.sizes()[axis] > 2 * options_.edge_items;
  }
  Scalar element(int64_t offset) const {
    return load_element(static_cast<const char*>(tensor_.readable_data_ptr()) +
                            offset * static_cast<int64_t>(size_of(tensor_.dtype())),
                        tensor_.dtype());
  }

  /// Calls visit(element) for each element that will be shown.
  template <class Visit>
  void for_each_shown(size_t axis, int64_t offset, const Visit& visit) const {
    if (axis == tensor_.sizes().size()) return visit(element(offset));
    const int64_t size = tensor_.sizes()[axis];
    for (int64_t i = 0; i < size; ++i) {
      if (is_cut(axis) && i == options_.edge_items) i = size - options_.edge_items;
      if (i < size) for_each_shown(axis + 1, offset + i * tensor_.strides()[axis], visit);
    }
  }

  size_t width() const { return format_.width() + (complex_ ? imaginary_.width() + 1 : 0); }

  std::string element_text(const Scalar& v) const {
    if (!complex_) return format_.text(v);
    const std::string imaginary = imaginary_.bare(v.imag()) + "j";
    return format_.text(v.to_double()) + (imaginary[0] == '-' ? "" : "+") + imaginary;
  }

  std::string axis_text(size_t axis, int64_t offset, size_t indent) const {
    const size_t rank = tensor_.sizes().size();
    if (axis == rank) return element_text(element(offset));
    const bool last = axis + 1 == rank;
    const int64_t size = tensor_.sizes()[axis];
    std::vector<std::string> items;
    for (int64_t i = 0; i < size; ++i) {
      if (is_cut(axis) && i == options_.edge_items) {
        items.emplace_back(last && i > 0 ? " ..." : "...");
        i = size - options_.edge_items;
        if (i >= size) break;
      }
      items.push_back(axis_text(axis + 1, offset + i * tensor_.strides()[axis], indent + 1));
    }
    const std::string margin(indent + 1, ' ');
    std::string text = "[";
    const int64_t room = options_.line_width - static_cast<int64_t>(indent);
    const int64_t per_line = std::max<int64_t>(1, room / static_cast<int64_t>(width() + 2));
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0 && !last)
        text += "," + std::string(rank - axis - 1, '\n') + margin;
      else if (i > 0)
        text += static_cast<int64_t>(i) % per_line == 0 ? ",\n" + margin : ", ";
      text += items[i];
    }
    return text + "]";
  }

  const Tensor& tensor_;
  const PrintOptions& options_;
  bool summarize_;
  bool complex_;
  Format format_;
  Format imaginary_;
};

std::string tuple_text(const Ints& values) {
  std::string text = "(";
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(values[i]);
  }
  return text + (values.size() == 1 ? ",)" : ")");
}

}  // namespace

PrintOptions print_options() {
  const std::lock_guard lock(options_mutex);
  return current_options;
}

void set_print_options(const PrintOptions& options) {
  check<ValueError>(options.precision >= 0 && options.precision <= 100 && options.edge_items >= 0 &&
                        options.line_width >= 1,
                    [] {
                      return std::string(
                          "set_printoptions: precision must be 0 to 100, edgeitems not negative, "
                          "linewidth positive");
                    });
  const std::lock_guard lock(options_mutex);
  current_options = options;
}

std::string text_of(const Tensor& tensor, const PrintOptions& options,
                    const PrintContext& context) {
  std::vector<std::string> suffixes;
  const std::string dtype = concat("dtype=torch.", info(tensor.dtype()).name);
  const size_t indent = context.prefix.size();
  std::string text = context.prefix;
  if (tensor.is_meta()) {
    suffixes = {"device='meta'", "size=" + tuple_text(tensor.sizes())};
    if (tensor.dtype() != context.default_dtype) suffixes.push_back(dtype);
    text += "...";
  } else if (tensor.numel() == 0) {
    if (tensor.dim() != 1) suffixes.push_back("size=" + tuple_text(tensor.sizes()));
    if (tensor.dtype() != context.default_dtype) suffixes.push_back(dtype);
    text += "[]";
  } else {
    const bool plain = tensor.dtype() == context.default_dtype || tensor.dtype() == DType::Int64 ||
                       tensor.dtype() == DType::Bool ||
                       tensor.dtype() == complex_dtype(context.default_dtype);
    if (!plain) suffixes.push_back(dtype);
    text += Printer(tensor, options).text(indent);
  }
  suffixes.insert(suffixes.end(), context.suffixes.begin(), context.suffixes.end());
  // As PyTorch counts: one more than the length of the last line, two if it is the only one.
  const size_t newline = text.rfind('\n');
  size_t line = newline == std::string::npos ? text.size() + 2 : text.size() - newline + 1;
  for (const std::string& suffix : suffixes) {
    if (static_cast<int64_t>(line + suffix.size() + 2) > options.line_width) {
      text += ",\n" + std::string(indent, ' ') + suffix;
      line = indent + suffix.size();
    } else {
      text += ", " + suffix;
      line += suffix.size() + 2;
    }
  }
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return tensor.defined() ? out << text_of(tensor) : out << "undefined tensor";
}

}  // namespace flambeau
