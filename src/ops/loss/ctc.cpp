// Connectionist temporal classification (Graves et al., 2006).

#include <cmath>
#include <limits>

#include "ops/checks.h"
#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

constexpr double kNever = -std::numeric_limits<double>::infinity();

double add_logs(double a, double b) {
  const double high = std::fmax(a, b);
  return high == kNever ? kNever : high + std::log1p(std::exp(std::fmin(a, b) - high));
}

/// The labels of one sequence with blanks around each: blank, l0, blank, l1, ..., blank.
class Path {
 public:
  Path(std::vector<int64_t> labels, int64_t blank) : labels_(std::move(labels)), blank_(blank) {}
  size_t size() const { return 2 * labels_.size() + 1; }
  int64_t operator[](size_t s) const { return s % 2 == 0 ? blank_ : labels_[s / 2]; }
  /// True if a step from `s` to `s + 2` leaves out a blank that need not be there.
  bool skips(size_t s) const { return s % 2 == 1 && (*this)[s] != (*this)[s + 2]; }

 private:
  std::vector<int64_t> labels_;
  int64_t blank_;
};

/// Where each sequence of labels begins in the targets, and how many labels it has.
struct Sequence {
  int64_t first;
  int64_t count;
};
std::vector<Sequence> sequences_of(const HostTensor& targets, const HostTensor& lengths) {
  std::vector<Sequence> sequences;
  int64_t place = 0;
  for (int64_t n = 0; n < lengths.info.numel(); ++n) {
    const int64_t count = integer_at(lengths, n);
    sequences.push_back({targets.info.dim() == 2 ? n * targets.info.sizes[1] : place, count});
    place += count;
  }
  return sequences;
}

void check_sequences(HostCall& host) {
  const Ints& sizes = host.call().tensor("log_probs").sizes;
  const HostTensor targets = host.input("targets");
  const HostTensor input_lengths = host.input("input_lengths");
  const HostTensor target_lengths = host.input("target_lengths");
  if (const auto steps = find_outside(input_lengths, 0, sizes[0] + 1))
    throw RuntimeError(concat("ctc_loss: Expected input_lengths to have value at most ", sizes[0],
                              ", but got value ", *steps));
  int64_t longest = 0;
  int64_t all = 0;
  for (int64_t n = 0; n < sizes[1]; ++n) {
    const int64_t count = integer_at(target_lengths, n);
    check(count >= 0, [&] {
      return concat("ctc_loss: Expected target_lengths to have value at least 0, but got value ",
                    count);
    });
    longest = std::max(longest, count);
    all += count;
  }
  const Ints& given = targets.info.sizes;
  check(given.size() == 2 ? given[0] == sizes[1] && given[1] >= longest : given[0] == all, [&] {
    return concat("ctc_loss: targets of shape ", list_text(given), " do not hold ", sizes[1],
                  " sequences of the lengths given: wanted ", all, " labels in all, or rows of ",
                  "at least ", longest);
  });
  // Rows may be padded with anything.
  for (const Sequence& sequence : sequences_of(targets, target_lengths))
    for (int64_t i = 0; i < sequence.count; ++i) {
      const int64_t label = integer_at(targets, sequence.first + i);
      check(label >= 0 && label < sizes[2],
            [&] { return concat("ctc_loss: label ", label, " is not in [0, ", sizes[2], ")"); });
    }
}

/// The tensors of one call, and one sequence of the batch at a time.
class Alignment {
 public:
  explicit Alignment(HostCall& host)
      : log_probs_(host.input("log_probs")),
        targets_(host.input("targets")),
        input_lengths_(host.input("input_lengths")),
        target_lengths_(host.input("target_lengths")),
        blank_(host.call().integer("blank")),
        zero_infinity_(host.call().boolean("zero_infinity")),
        steps_(log_probs_.info.sizes[0]),
        batch_(log_probs_.info.sizes[1]),
        classes_(log_probs_.info.sizes[2]) {}

  void run(const HostTensor& losses, const HostTensor& gradient) {
    int64_t n = 0;
    for (const Sequence& sequence : sequences_of(targets_, target_lengths_)) {
      std::vector<int64_t> labels;
      for (int64_t i = 0; i < sequence.count; ++i)
        labels.push_back(integer_at(targets_, sequence.first + i));
      align(n, Path(std::move(labels), blank_), integer_at(input_lengths_, n), losses, gradient);
      ++n;
    }
  }

 private:
  int64_t at(int64_t t, int64_t n, int64_t c) const { return (t * batch_ + n) * classes_ + c; }
  double log_prob(int64_t t, int64_t n, int64_t c) const {
    return number_at(log_probs_, at(t, n, c));
  }
  void put(const HostTensor& tensor, int64_t place, double value) const {
    store(tensor, place, ir::container_of(tensor.info.dtype, value));
  }

  void align(int64_t n, const Path& path, int64_t steps, const HostTensor& losses,
             const HostTensor& gradient) {
    const size_t size = path.size();
    for (int64_t t = 0; t < steps_; ++t)
      for (int64_t c = 0; c < classes_; ++c) put(gradient, at(t, n, c), 0);
    if (steps == 0) {
      const double loss = size == 1 || zero_infinity_ ? 0 : -kNever;
      return put(losses, n, loss);
    }
    const auto table = [&](int64_t t) { return static_cast<size_t>(t) * size; };
    // Log probabilities of all ways to `s` by step `t`, and from there to the end.
    std::vector<double> to(static_cast<size_t>(steps) * size, kNever);
    for (size_t s = 0; s < std::min<size_t>(size, 2); ++s) to[s] = log_prob(0, n, path[s]);
    for (int64_t t = 1; t < steps; ++t)
      for (size_t s = 0; s < size; ++s) {
        const double* before = &to[table(t - 1)];
        double sum = before[s];
        if (s > 0) sum = add_logs(sum, before[s - 1]);
        if (s > 1 && path.skips(s - 2)) sum = add_logs(sum, before[s - 2]);
        to[table(t) + s] = sum + log_prob(t, n, path[s]);
      }
    const double* last = &to[table(steps - 1)];
    const double total = size > 1 ? add_logs(last[size - 1], last[size - 2]) : last[0];
    const bool impossible = total == kNever;
    put(losses, n, impossible && zero_infinity_ ? 0 : -total);
    if (impossible && zero_infinity_) return;

    std::vector<double> from(size, kNever);
    std::vector<double> next(size);
    std::vector<double> through(static_cast<size_t>(classes_));
    for (int64_t t = steps - 1; t >= 0; --t) {
      for (size_t s = 0; s < size; ++s) {
        double sum = t == steps - 1 && s + 2 >= size ? 0 : from[s];
        if (t < steps - 1) {
          if (s + 1 < size) sum = add_logs(sum, from[s + 1]);
          if (s + 2 < size && path.skips(s)) sum = add_logs(sum, from[s + 2]);
        }
        next[s] = sum + log_prob(t, n, path[s]);
      }
      std::swap(from, next);
      through.assign(through.size(), kNever);
      for (size_t s = 0; s < size; ++s) {
        double& sum = through[static_cast<size_t>(path[s])];
        sum = add_logs(sum, to[table(t) + s] + from[s]);
      }
      // That of the logits below a log_softmax, as PyTorch gives it.
      for (int64_t c = 0; c < classes_; ++c) {
        const double p = log_prob(t, n, c);
        put(gradient, at(t, n, c),
            std::exp(p) - std::exp(through[static_cast<size_t>(c)] - total - p));
      }
    }
  }

  HostTensor log_probs_;
  HostTensor targets_;
  HostTensor input_lengths_;
  HostTensor target_lengths_;
  int64_t blank_;
  bool zero_infinity_;
  int64_t steps_;
  int64_t batch_;
  int64_t classes_;
};

const Register kCtcLoss({
    .schema = "_ctc_loss_and_gradient(Tensor log_probs, Tensor targets, Tensor input_lengths, "
              "Tensor target_lengths, int blank=0, bool zero_infinity=False) -> (Tensor losses, "
              "Tensor gradient)",
    .doc = "Minus the log probability of each sequence of labels under log_probs (steps, batch, "
           "classes), summed over all alignments, and its gradient with respect to what "
           "log_softmax gave log_probs for.",
    .variants = {.method = false},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& log_probs = call.tensor("log_probs");
          check_rank(call, "log_probs", 3);
          const int64_t batch = log_probs.sizes[1];
          const int64_t blank = call.integer("blank");
          check(blank >= 0 && blank < log_probs.sizes[2],
                [&] { return concat("ctc_loss: blank must be in label range"); });
          for (const char* lengths : {"input_lengths", "target_lengths"})
            check(call.tensor(lengths).numel() == batch,
                  [&] { return concat("ctc_loss: ", lengths, " must be of size batch_size"); });
          check(call.tensor("targets").dim() == 1 || call.tensor("targets").dim() == 2, [&] {
            return concat("ctc_loss: targets must be a 1D or 2D tensor, got ",
                          call.tensor("targets").dim(), "D");
          });
          for (const char* integers : {"targets", "input_lengths", "target_lengths"})
            check(is_integer(call.tensor(integers).dtype), [&] {
              return concat("ctc_loss: ", integers, " must be integral, got ",
                            info(call.tensor(integers).dtype).name);
            });
          results.push_back({log_probs.dtype, {batch}, {}});
          results.push_back({log_probs.dtype, log_probs.sizes, {}});
        },
    // The forward pass has what it takes.
    .vjp =
        [](VjpLowering& v) {
          if (v.cotangents[0].valid())
            v.gradients[0] = v.results[1] * unsqueeze(unsqueeze(v.cotangents[0], 0), 2);
        },
    .kernel =
        [](HostCall& host) {
          Alignment alignment(host);
          alignment.run(host.output(0), host.output(1));
        },
    .checks = check_sequences,
    .samples =
        [] {
          // Not differentiated here: the gradient is that below a log_softmax.
          SampleTensor log_probs = t({5, 2, 4}, -3, 0);
          log_probs.grad = false;
          return SampleList{{{log_probs, typed({2, 2}, DType::Int64, 1, 3),
                              typed({2}, DType::Int64, 4, 5), typed({2}, DType::Int64, 1, 2)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({5, 2, 4}), typed({2, 2}, DType::Int64, 1, 3), typed({2}, DType::Int64, 9, 9),
                 typed({2}, DType::Int64, 1, 2)}},
               "RuntimeError",
               "Expected input_lengths to have value at most 5, but got value 9"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
