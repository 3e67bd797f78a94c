#pragma once
// THE definition of an operation: one object from which shape inference, the kernels, the gradient,
// the Python and C++ functions, stubs, docs and tests follow. To add one, add a `static const
// Register` to a file of this folder (or add a file): nothing else changes.
//
//   static const Register kLogaddexp({
//       .schema = "logaddexp(Tensor self, Tensor other) -> Tensor",
//       .doc = "log(exp(self) + exp(other)), computed without overflow.",
//       .variants = {.in_place = false},
//       .promotion = Promotion::ToFloat,
//       .lower = [](Lowering& l) {
//         Expr a = l["self"], b = l["other"];
//         Expr m = stop_gradient(maximum(a, b));
//         ...
//         l.result(m + log1p(exp(-abs(a - b))));
//       },
//       .samples = [] { return SampleList{{t({3, 4}), t({4})}}; },
//   });

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/function_ref.h"
#include "base/random_source.h"
#include "ops/schema.h"
#include "prim/build.h"

namespace flambeau::ops {

using ir::Builder;
using ir::Dim;
using ir::Expr;
using ir::Shape;

struct Definition;

/// A call as shape rules and checks see it: concrete arguments in schema order.
class Call {
 public:
  Call(const Definition& definition, std::span<const Argument> arguments)
      : definition_(&definition), arguments_(arguments) {}
  const Definition& definition() const { return *definition_; }
  /// Name for messages: the op's.
  const std::string& name() const;
  std::span<const Argument> arguments() const { return arguments_; }
  const Argument& operator[](std::string_view parameter) const;

  bool is_none(std::string_view parameter) const;
  const TensorInfo& tensor(std::string_view parameter) const;
  /// nullptr for None.
  const TensorInfo* optional_tensor(std::string_view parameter) const;
  const TensorRefs& tensors(std::string_view parameter) const;
  Scalar number(std::string_view parameter) const;
  int64_t integer(std::string_view parameter) const;
  double real(std::string_view parameter) const;
  bool boolean(std::string_view parameter) const;
  const Ints& integers(std::string_view parameter) const;
  const std::string& string(std::string_view parameter) const;
  /// The dtype given for `parameter`, or `otherwise` if None.
  DType dtype_or(std::string_view parameter, DType otherwise) const;

  /// `dim` in [0, rank), negative ones counted from the end; IndexError as PyTorch's otherwise.
  /// A 0-dim tensor accepts -1 and 0.
  int64_t axis(int64_t dim, int64_t rank) const;
  /// axis() of each, or every axis if `dims` is empty and `empty_is_all`; RuntimeError if one
  /// occurs twice.
  Ints axes(const Ints& dims, int64_t rank, bool empty_is_all = true) const;
  /// The broadcast of the shapes; RuntimeError as PyTorch's if they do not fit.
  Ints broadcast(std::span<const Ints> shapes) const;

 private:
  const Definition* definition_;
  std::span<const Argument> arguments_;
};

/// The results' types as the shape rule sets them. Strides are left empty by most rules; `finish`
/// fills them by the definition's stride rule.
using ResultInfos = SmallVector<TensorInfo, 2>;

/// How inputs of an elementwise op come to one dtype before `lower` sees them.
enum class Promotion : uint8_t {
  None,     ///< each tensor keeps its own (halves become float32), results as the shape rule says
  Promote,  ///< PyTorch's common dtype of tensors, 0-dim tensors and numbers; also the result's
  ToFloat,  ///< the same, integers and bool become the default float dtype
  Compare,  ///< inputs promoted, the result is bool
};

/// What a parameter of the call is in the program.
struct LoweredParameter {
  std::vector<Expr> values;  ///< tensors (lists: all, invalid for None) or one number
  std::vector<Dim> dims;     ///< dynamic integers
};

/// What `lower` works with: the call's tensors as expressions in the compute dtype, its static
/// arguments as values and its dynamic ones as Dims and number expressions.
class Lowering {
 public:
  Lowering(Builder& builder, const Call& call, DType common,
           std::vector<LoweredParameter> parameters, Expr random_key,
           std::vector<Shape> result_shapes)
      : builder_(builder),
        call_(call),
        common_(common),
        parameters_(std::move(parameters)),
        random_key_(random_key),
        result_shapes_(std::move(result_shapes)) {}

  Builder& builder() { return builder_; }
  /// The concrete call. Only static arguments, dtypes, ranks, which extents are 1 and the
  /// signs of `signs` may be looked at: the program serves every call that agrees in those.
  const Call& call() const { return call_; }
  /// The dtype to which promotion brought the inputs (halves: before widening).
  DType common() const { return common_; }
  /// The compute dtype of `common`.
  DType compute() const { return compute_dtype(common_); }

  /// Tensor or number parameter. Tensors: in the compute dtype (Promotion::None: their own compute
  /// dtype). Numbers: converted to compute(), shape []. Invalid for None.
  Expr operator[](std::string_view parameter) const;
  /// A number as it was passed (Float64, Int64 or Bool), shape [].
  Expr number(std::string_view parameter) const;
  /// The Int64 key of the random bits of this call; only where `random` is set.
  const Expr& random_key() const { return random_key_; }
  /// The extents of result `i`; only where `result_sizes` is set.
  const Shape& result_shape(size_t i) const { return result_shapes_[i]; }
  /// All tensors of a Tensor[] parameter.
  std::vector<Expr> tensors(std::string_view parameter) const;
  /// A dynamic int parameter (listed in `dynamic`).
  Dim integer(std::string_view parameter) const;
  /// A dynamic int[] parameter.
  std::vector<Dim> integers(std::string_view parameter) const;

  /// Declares result number 0, 1, ...; converted to the dtype that the shape rule gave.
  void result(const Expr& value) { results_.push_back(value); }
  /// Marks a value that the forward stores for the backward (statistics of a norm, a mask). The
  /// backward then reads it and what it can compute from inputs and results.
  Expr save(const Expr& value) {
    saved_.push_back(value);
    return value;
  }
  const std::vector<Expr>& results() const { return results_; }
  const std::vector<Expr>& saved() const { return saved_; }

 private:
  const LoweredParameter& parameter(std::string_view name) const;
  Builder& builder_;
  Call call_;
  DType common_;
  std::vector<LoweredParameter> parameters_;  // in schema order
  Expr random_key_;
  std::vector<Shape> result_shapes_;
  std::vector<Expr> results_;
  std::vector<Expr> saved_;
};

/// What a `vjp` override sees: the forward's inputs, results and saved values, and the results'
/// cotangents (invalid where there is none), all in their compute dtypes.
struct VjpLowering {
  Lowering& forward;  ///< inputs and arguments
  std::span<const Expr> results;
  std::span<const Expr> saved;
  std::span<const Expr> cotangents;
  /// Cotangent per tensor input (lists flattened, None skipped), in order; invalid: none. Summed to
  /// the input's shape and converted to its dtype afterwards.
  std::vector<Expr> gradients;
};

/// One strided operand of a host kernel.
struct HostTensor {
  TensorInfo info;
  void* data = nullptr;
};

/// What cannot be composed (sort, random streams, data-dependent shapes): plain C++ on buffers.
class HostCall {
 public:
  virtual ~HostCall() = default;
  virtual const Call& call() const = 0;
  /// The input tensor; with `contiguous`, a row-major copy if it is not one already.
  virtual HostTensor input(std::string_view parameter, bool contiguous = true) = 0;
  virtual HostTensor input(std::string_view list, size_t i, bool contiguous = true) = 0;
  /// Result `i`, allocated row-major with the type the shape rule gave, or with this one.
  virtual HostTensor output(size_t i) = 0;
  virtual HostTensor output(size_t i, const TensorInfo& info) = 0;
  /// The generator argument, or the default one; locked until the kernel returns.
  virtual flambeau::RandomSource& random() = 0;
  /// Calls body(begin, end) for pieces of [0, count) that are independent, on several threads if
  /// `cost` nanoseconds each are worth it.
  virtual void in_parallel(int64_t count, int64_t /*cost*/,
                           FunctionRef<void(int64_t begin, int64_t end)> body) {
    if (count > 0) body(0, count);
  }
};

/// The geometry of an alias of the first tensor, in elements of the result's dtype: sizes, strides
/// and the place of element 0 in the storage, which is that of the input (in elements of its own
/// dtype) when the rule is called.
struct AliasInfo {
  Ints sizes = {};
  Ints strides = {};
  int64_t offset = 0;
};

enum class Returns : uint8_t {
  New,        ///< fresh tensors
  View,       ///< aliases of the first tensor parameter, by index maps
  MaybeView,  ///< a view where strides allow, else a copy (reshape); itself if nothing changes
  Self,       ///< nothing: the program's results are written to the parameters that the schema
              ///< marks (a!), in its order (fill_, copy_, optimiser updates)
};

/// Where the op appears. The function is torch.NAME.
struct Variants {
  bool function = true;
  bool method = true;
  bool in_place = false;  ///< also NAME_, as function and method
  bool out = false;       ///< also the out= form
  bool copy = false;      ///< of a view: also NAME_copy, whose results are fresh tensors
  /// More places: "Tensor.__add__", "nn.functional.gelu", "special.expit", "arcsin" (torch.arcsin).
  /// One whose last word ends in "_" (or is "__iadd__") names the in-place form.
  std::vector<std::string> aliases = {};
};

/// One sample argument of a generated test.
struct SampleTensor {
  Ints shape = {};
  double low = -2, high = 2;        ///< range of the values
  bool specials = false;            ///< sprinkles 0, -0, ties, bounds, +-100, inf
  bool grad = true;                 ///< differentiated if floating
  std::optional<DType> dtype = {};  ///< fixed; else the test's
};
using SampleValue = std::variant<std::monostate, SampleTensor, std::vector<SampleTensor>, Scalar,
                                 std::vector<double>, Ints, DType, std::string>;
struct Sample {
  std::vector<SampleValue> positional;
  std::vector<std::pair<std::string, SampleValue>> keyword = {};
};
using SampleList = std::vector<Sample>;
/// Shorthand for samples: a tensor of this shape with values in [low, high).
inline SampleTensor t(std::initializer_list<int64_t> shape, double low = -2, double high = 2) {
  return {Ints(shape), low, high};
}

/// A call that must be refused, and how.
struct ErrorSample {
  Sample sample;
  std::string exception;  ///< "IndexError"
  std::string text;       ///< part of the message
};

/// The dtypes that the common dtype of a call may have.
enum class Accepts : uint8_t {
  All,  ///< complex ones where the lowering is defined for them
  Real,
  Floats,   ///< real ones
  Inexact,  ///< floats and complex numbers
  NumbersNoBool,
  Integers,  ///< and bool
  IntegersNoBool,
};

/// Of Definition::fixed.
inline uint64_t every_axis(const Call&, size_t) { return ~uint64_t{0}; }
inline uint64_t axis_bit(int64_t axis) { return uint64_t{1} << axis; }

struct Definition {
  std::string_view schema = {};
  std::string_view doc = {};
  Variants variants = {};
  Promotion promotion = Promotion::None;
  Accepts accepts = Accepts::All;
  Returns returns = Returns::New;
  /// The results of an elementwise op are real where its inputs are complex (abs).
  bool real_result = false;
  /// They are complex where its inputs are real (complex, polar).
  bool complex_result = false;
  /// Tensor parameters for which a Python number may stand (PyTorch's overloads with Scalar), and
  /// Number parameters that take part in promotion.
  std::vector<std::string_view> numbers = {};
  /// Numbers that the common dtype must be able to hold, where operands that are numbers wrap
  /// around: RuntimeError otherwise.
  std::vector<std::string_view> fitting = {};
  /// Numbers may stand for all tensors of a call at once (add(1, 2)); otherwise such a call is
  /// refused.
  bool numbers_alone = false;
  /// Tensors that keep their own dtype: masks, indices.
  std::vector<std::string_view> unpromoted = {};
  /// int and int[] parameters that are axes of the first tensor: brought to [0, rank) before
  /// anything else sees them, IndexError and duplicates included.
  std::vector<std::string_view> axes = {};
  /// The tensors broadcast with each other (elementwise ops: always), so that axes which must agree
  /// have one symbol in the program.
  bool broadcasts = false;
  /// Brings other arguments to a canonical form before anything else sees them: -1 in a shape,
  /// slice bounds, axes that count differently. May raise the user's errors.
  void (*canonical)(const Call&, Arguments&) = nullptr;
  /// Result types. Null for elementwise ops: broadcast shape, promoted dtype. An extent that only a
  /// kernel can know (nonzero) is -1.
  void (*shape)(const Call&, ResultInfos&) = nullptr;
  /// Result strides. Null: elementwise ops follow their inputs' layout as PyTorch's
  /// TensorIterator, the others are row-major.
  void (*strides)(const Call&, ResultInfos&) = nullptr;
  /// The composition. Null for ops with a kernel.
  void (*lower)(Lowering&) = nullptr;
  /// Overrides the derived gradient; only with a reason, which the comment beside it gives.
  void (*vjp)(VjpLowering&) = nullptr;
  /// Host kernel instead of a composition.
  void (*kernel)(HostCall&) = nullptr;
  /// The kernel takes complex tensors; others are refused.
  bool complex_kernel = false;
  /// Errors that depend on values (indices out of range): reads buffers before anything runs.
  void (*checks)(HostCall&) = nullptr;
  /// Geometry of a view that index maps cannot say (diagonals, windows, as_strided, another dtype).
  /// Where set, calls alias by it, and `lower` computes the same elements for derivatives.
  void (*alias)(const Call&, AliasInfo&) = nullptr;
  /// The last parameter of an op on a tensor, sizes and strides: it counts from where the storage
  /// begins. The rules and `lower` see it from the tensor's own first element (None: 0), and
  /// `lower` may look at the tensor's strides.
  std::string_view from_storage = {};
  /// PyTorch keeps the result for the backward (in-place errors show it): relu, exp, tanh.
  bool saves_result = false;
  /// False for what has no gradient by nature (argmax, comparison results).
  bool differentiable = true;
  /// Tensor parameters, all of the first ones, whose gradient exists and is not implemented: where
  /// one requires grad, the results do, and a backward through them raises NotImplementedError.
  std::vector<std::string_view> missing_gradients = {};
  /// int and int[] parameters that are run-time integers of the program; the others are part of
  /// the recipe's key.
  std::vector<std::string_view> dynamic = {};
  /// Of these, the ones whose signs are part of the key, so that `lower` may look at them: a margin
  /// is added, cut or none at all. Those of 0 are constants of the program.
  std::vector<std::string_view> signs = {};
  /// The axes (bit i: axis i) of tensor number `tensor` whose extents are constants of the program,
  /// which then serves those alone; where it names any of the first, integers are constants, too.
  /// For views whose number of results depends on an extent (chunk), and what else Dims cannot
  /// say. Null: none.
  uint64_t (*fixed)(const Call& call, size_t tensor) = nullptr;
  /// The results' extents follow from numbers (arange): they are further run-time integers of the
  /// program, after those of the arguments, which Lowering::result_shape gives.
  bool result_sizes = false;
  /// For ops that draw random bits. Their program's last number is an Int64 key, which the call
  /// takes from the generator if this says that it draws (else 0: dropout outside of training).
  bool (*random)(const Call&) = nullptr;
  /// For lists of tensors that are treated alike and do not interact (optimiser updates): `shape`
  /// and `lower` are written for one item, and see a Tensor where the schema has Tensor[] (other
  /// arguments are shared by all items). One call runs all items; its results are
  /// the lists of the items' results.
  bool per_item = false;
  /// Numbers whose listed values get a program of their own (pow by 2 is x*x); `lower` may look at
  /// them through call() only if special() there says so.
  std::vector<std::pair<std::string_view, std::vector<double>>> special = {};
  std::string_view autocast = {};  ///< "lower_precision", "float32", "promote" or empty
  std::function<SampleList()> samples = nullptr;
  std::function<std::vector<ErrorSample>()> errors = nullptr;

  // Filled in at first use.
  /// Where an argument of a parameter goes.
  enum class Role : uint8_t {
    Tensor,   ///< an input of the program, lists flattened; None is part of the key
    Number,   ///< a run-time number; None and special values are part of the key
    Integer,  ///< run-time integers
    Static,   ///< part of the key
    Opaque,   ///< neither in the program nor in the key: a generator
  };
  struct Traits {
    Role role = Role::Static;
    bool number_allowed = false;  ///< listed in `numbers`
    bool promoted = false;        ///< takes part in promotion
    bool axis = false;            ///< listed in `axes`
    bool fitting = false;         ///< listed in `fitting`
    bool has_sign = false;        ///< listed in `signs`
  };
  Schema parsed = {};
  std::vector<Traits> traits = {};  ///< one per parameter
  int id = -1;
  bool elementwise() const { return shape == nullptr; }
  /// What `argument` is for parameter number `parameter` in a call.
  Role role(size_t parameter, const Argument& argument) const;
  /// True if `value` is one of the special values of the number `parameter`.
  bool is_special(std::string_view parameter, const Scalar& value) const;
};

struct Register {
  explicit Register(Definition definition);
  const Definition* definition = nullptr;
};

}  // namespace flambeau::ops
