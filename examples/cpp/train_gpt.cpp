// Trains a small GPT, byte by byte, on the source of Python's standard library: the program of
// examples/train_gpt.py in C++, with the same losses to the bit.
//
//   build/release/bin/train_gpt [--steps 1800] [--resume]
//
// Writes OUT/checkpoint.safetensors and OUT/losses.txt. Each program goes on from the other's
// checkpoint.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <numbers>
#include <sstream>

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "corpus.h"
#include "flambeau/data.h"
#include "flambeau/io.h"
#include "flambeau/nn.h"
#include "flambeau/optim.h"
#include "io/file.h"

namespace {

using namespace flambeau;
namespace F = nn::functional;

constexpr int64_t kVocabulary = 256;  // bytes

struct Config {
  int64_t layers = 4, width = 192, heads = 6, context = 128, batch = 16, steps = 1800, seed = 0;
  double lr = 1e-3;

  nn::State::Dict state() const {
    return {{"layers", layers}, {"width", width}, {"heads", heads}, {"context", context},
            {"batch", batch},   {"steps", steps}, {"seed", seed},   {"lr", lr}};
  }
};

struct Block : nn::Module {
  Block(int64_t width, int64_t heads)
      : norm1(add<nn::LayerNorm>("norm1", width)),
        attention(add<nn::CausalSelfAttention>("attention", width, heads)),
        norm2(add<nn::LayerNorm>("norm2", width)),
        mlp(add<nn::Sequential>(
            "mlp", std::vector<std::shared_ptr<nn::Layer>>{
                       std::make_shared<nn::Linear>(width, 4 * width), std::make_shared<nn::GELU>(),
                       std::make_shared<nn::Linear>(4 * width, width)})) {}
  Tensor forward(Tensor x) const {
    x = F::add(x, attention->forward(norm1->forward(x)));
    return F::add(x, mlp->forward(norm2->forward(x)));
  }
  std::shared_ptr<nn::LayerNorm> norm1;
  std::shared_ptr<nn::CausalSelfAttention> attention;
  std::shared_ptr<nn::LayerNorm> norm2;
  std::shared_ptr<nn::Sequential> mlp;
};

struct GPT : nn::Module {
  explicit GPT(const Config& c)
      : tokens(add<nn::Embedding>("tokens", kVocabulary, c.width)),
        positions(add<nn::Embedding>("positions", c.context, c.width)),
        blocks(add<nn::ModuleList<Block>>("blocks")) {
    for (int64_t i = 0; i < c.layers; ++i)
      blocks->push_back(std::make_shared<Block>(c.width, c.heads));
    norm = add<nn::LayerNorm>("norm", c.width);
    head = add<nn::Linear>("head", c.width, kVocabulary, false);
    for (const Tensor& parameter : parameters())
      if (parameter.dim() == 2) nn::init::normal_(parameter, 0, 0.02);
  }
  Tensor forward(const Tensor& input) const {
    Tensor x = F::add(tokens->forward(input), positions->forward(F::arange(input.size(1))));
    for (const auto& block : *blocks) x = block->forward(x);
    return head->forward(norm->forward(x));
  }
  Tensor loss(const Tensor& x, const Tensor& y) const {
    return F::cross_entropy(F::view(forward(x), {-1, kVocabulary}), F::view(y, {-1}));
  }
  std::shared_ptr<nn::Embedding> tokens, positions;
  std::shared_ptr<nn::ModuleList<Block>> blocks;
  std::shared_ptr<nn::LayerNorm> norm;
  std::shared_ptr<nn::Linear> head;
};

double schedule(int64_t t, int64_t steps) {
  const auto warm_up = static_cast<double>(std::max<int64_t>(1, steps / 20));
  const double done = std::min(1.0, static_cast<double>(t) / static_cast<double>(steps));
  return std::min(1.0, static_cast<double>(t + 1) / warm_up) *
         (0.55 + 0.45 * std::cos(std::numbers::pi * done));
}

/// Everything that training needs and a checkpoint holds.
struct Run {
  Run(const Config& c, std::string text)
      : config(c),
        model(c),
        optimizer(model.parameters(), {.lr = c.lr, .beta2 = 0.95, .weight_decay = 0.1}),
        scheduler(optimizer, [steps = c.steps](int64_t t) { return schedule(t, steps); }),
        loader(std::make_shared<data::ByteWindows>(std::move(text), c.context),
               {.batch_size = c.batch, .shuffle = true, .drop_last = true}) {}

  void step() {
    const TensorList batch = loader.next_of_any_epoch();
    optimizer.zero_grad();
    const Tensor loss = model.loss(batch[0], batch[1]);
    nn::backward(loss);
    nn::clip_grad_norm_(model.parameters(), 1.0);
    optimizer.step();
    scheduler.step();
    losses.push_back(loss.item().to_double());
  }

  void save(const std::filesystem::path& out) const {
    using State = nn::State;
    io::save_checkpoint(State::Dict{{"config", config.state()},
                                    {"model", model.state_dict()},
                                    {"optimizer", optimizer.state_dict()},
                                    {"scheduler", scheduler.state_dict()},
                                    {"data", loader.state_dict()},
                                    {"random", data::get_rng_state()},
                                    {"losses", State::List(losses.begin(), losses.end())}},
                        (out / "checkpoint.safetensors").string());
    std::ostringstream lines;
    for (size_t i = 0; i < losses.size(); ++i)
      lines << i + 1 << ' ' << std::setprecision(9) << losses[i] << '\n';
    io::ReplacedFile file((out / "losses.txt").string());
    file.write(lines.view().data(), lines.view().size());
    file.commit();
  }

  /// Goes on from a checkpoint of this program or of train_gpt.py.
  void load(const std::string& path) {
    const nn::State state = io::load_checkpoint(path);
    for (const auto& [name, value] : config.state()) {
      const double saved = state["config"][name].to_double();
      check<ValueError>(saved == value.to_double(), [&] {
        return concat("'", path, "' was made with --", name.text(), ' ', saved, ", not ",
                      value.to_double());
      });
    }
    model.load_state_dict(state["model"].tensors());
    optimizer.load_state_dict(state["optimizer"]);
    scheduler.load_state_dict(state["scheduler"]);
    loader.load_state_dict(state["data"]);
    for (const nn::State& loss : state["losses"].list()) losses.push_back(loss.to_double());
    data::set_rng_state(state["random"].tensor());
  }

  Config config;
  GPT model;
  optim::AdamW optimizer;
  optim::LambdaLR scheduler;
  data::DataLoader loader;
  std::vector<double> losses;
};

double validation_loss(GPT& model, const std::string& text, const Config& config) {
  const GradModeGuard no_grad(false);
  model.eval();
  data::DataLoader loader(std::make_shared<data::ByteWindows>(text, config.context),
                          {.batch_size = config.batch});
  double total = 0;
  int64_t count = 0;
  constexpr int64_t kMostBatches = 40;
  while (const auto batch = loader.next()) {
    total += model.loss((*batch)[0], (*batch)[1]).item().to_double();
    if (++count == kMostBatches) break;
  }
  return total / static_cast<double>(count);
}

volatile std::sig_atomic_t stop_wanted = 0;

int train(const Config& config, const std::filesystem::path& out, const std::string& text,
          bool resume) {
  auto [train_text, held_out] = examples::load_corpus(text);
  std::filesystem::create_directories(out);
  default_generator().manual_seed(static_cast<uint64_t>(config.seed));
  Run run(config, std::move(train_text));
  if (resume) run.load((out / "checkpoint.safetensors").string());
  std::signal(SIGINT, [](int) { stop_wanted = 1; });
  const auto begin = std::chrono::steady_clock::now();
  const size_t first = run.losses.size();
  while (std::cmp_less(run.losses.size(), config.steps)) {
    run.step();
    const size_t step = run.losses.size();
    const bool last = std::cmp_equal(step, config.steps);
    if (step % 50 == 0 || last || stop_wanted != 0) {
      run.save(out);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      const double speed = static_cast<double>(step - first) / seconds.count();
      std::cout << "step " << step << '/' << config.steps << "  loss " << std::fixed
                << std::setprecision(3) << run.losses.back() << "  " << std::setprecision(0)
                << speed * static_cast<double>(config.batch * config.context) << " tokens/s  "
                << static_cast<double>(static_cast<size_t>(config.steps) - step) / speed
                << " s left\n"
                << std::flush;
    }
    if (stop_wanted != 0 && !last) {
      std::cout << "Stopped after step " << step << "; --resume goes on from there.\n";
      return 130;
    }
  }
  std::cout << "validation loss " << std::setprecision(4)
            << validation_loss(run.model, held_out, config) << " nats per byte\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a small GPT on the source of Python's standard library.");
  Config config;
  std::string out = "runs/gpt-cpp";
  std::string text;
  bool resume = false;
  for (const auto& [name, value] : {std::pair{"--layers", &config.layers},
                                    {"--width", &config.width},
                                    {"--heads", &config.heads},
                                    {"--context", &config.context},
                                    {"--batch", &config.batch},
                                    {"--steps", &config.steps}})
    app.add_option(name, *value)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--seed", config.seed)->capture_default_str();
  app.add_option("--lr", config.lr)->capture_default_str();
  app.add_option("--out", out, "folder for the checkpoint")->capture_default_str();
  app.add_option("--text", text, "folder of .py files (the standard library)");
  app.add_flag("--resume", resume, "go on from the checkpoint");
  CLI11_PARSE(app, argc, argv);
  try {
    return train(config, out, text, resume);
  } catch (const std::exception& error) {
    std::cerr << "train_gpt: " << error.what() << '\n';
    return 1;
  }
}
