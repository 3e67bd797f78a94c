// Windows as index maps on the window that a value is.

#include "compile/view_form.h"

#include <gtest/gtest.h>

#include <random>

namespace flambeau::compiler {
namespace {

Window window_of(const Ints& sizes, const Ints& strides, int64_t offset = 0) {
  return {0, TensorInfo{DType::Float32, sizes, strides}, offset};
}

/// The place in memory of element `index` of a view, by its form.
int64_t place_of(const Window& base, const ViewForm& form, const Ints& index) {
  std::vector<int64_t> numbers;
  for (const ViewForm::Digit& digit : form.digits) numbers.push_back(digit.start);
  for (size_t axis = 0; axis < index.size(); ++axis)
    if (form.digit_of[axis] >= 0) numbers[static_cast<size_t>(form.digit_of[axis])] += index[axis];
  Ints position(base.info.sizes.size(), 0);
  for (size_t d = 0; d < numbers.size(); ++d) {
    EXPECT_LT(numbers[d], form.digits[d].extent);
    int64_t& of_axis = position[static_cast<size_t>(form.digits[d].axis)];
    of_axis = of_axis * form.digits[d].extent + numbers[d];
  }
  int64_t place = base.offset;
  for (size_t axis = 0; axis < position.size(); ++axis) {
    EXPECT_LT(position[axis], base.info.sizes[axis]);
    place += position[axis] * base.info.strides[axis];
  }
  return place;
}

void expect_same_places(const Window& base, const Window& view, const ViewForm& form) {
  Ints index(view.info.sizes.size(), 0);
  for (int64_t i = 0; i < view.info.numel(); ++i) {
    int64_t rest = i;
    int64_t place = view.offset;
    for (size_t axis = index.size(); axis-- > 0;) {
      index[axis] = rest % view.info.sizes[axis];
      rest /= view.info.sizes[axis];
      place += index[axis] * view.info.strides[axis];
    }
    ASSERT_EQ(place_of(base, form, index), place);
  }
}

/// A random view of `window`: a slice, steps, an element, split or swapped axes, repeated rows.
Window viewed(const Window& window, std::mt19937& engine) {
  const auto draw = [&](int64_t below) {
    return static_cast<int64_t>(engine() % static_cast<uint64_t>(below));
  };
  Ints sizes = window.info.sizes;
  Ints strides = window.info.strides;
  int64_t offset = window.offset;
  if (sizes.empty()) return window;
  const auto axis = static_cast<size_t>(draw(static_cast<int64_t>(sizes.size())));
  const auto at = [](Ints& list, size_t i) { return list.begin() + static_cast<ptrdiff_t>(i); };
  switch (draw(6)) {
    case 0: {  // slice
      const int64_t start = draw(sizes[axis]);
      offset += start * strides[axis];
      sizes[axis] = 1 + draw(sizes[axis] - start);
      break;
    }
    case 1: {  // every second one
      if (sizes[axis] < 4) break;
      offset += draw(2) * strides[axis];
      sizes[axis] /= 2;
      strides[axis] *= 2;
      break;
    }
    case 2: {  // select
      offset += draw(sizes[axis]) * strides[axis];
      Ints fewer_sizes;
      Ints fewer_strides;
      for (size_t a = 0; a < sizes.size(); ++a) {
        if (a == axis) continue;
        fewer_sizes.push_back(sizes[a]);
        fewer_strides.push_back(strides[a]);
      }
      sizes = fewer_sizes;
      strides = fewer_strides;
      break;
    }
    case 3: {  // split
      for (const int64_t inner : {2, 3, 4}) {
        if (sizes[axis] % inner != 0) continue;
        sizes[axis] /= inner;
        strides[axis] *= inner;
        sizes.push_back(inner);
        strides.push_back(strides[axis] / inner);
        break;
      }
      break;
    }
    case 4: {
      const auto other = static_cast<size_t>(draw(static_cast<int64_t>(sizes.size())));
      std::swap(*at(sizes, axis), *at(sizes, other));
      std::swap(*at(strides, axis), *at(strides, other));
      break;
    }
    default:  // expand
      sizes.push_back(1 + draw(3));
      strides.push_back(sizes.back() == 1 ? 1 : 0);
  }
  return window_of(sizes, strides, offset);
}

TEST(ViewForm, OfRandomViewsIsWhereTheirElementsAre) {
  int found = 0;
  for (uint32_t seed = 0; seed < 4000; ++seed) {
    std::mt19937 engine(seed);
    // Rows of a larger tensor, in any order of the axes.
    Window base = window_of({4, 12, 1, 8}, {12 * 8 + 5, 8, 3, 1}, 7);
    if (seed % 2 == 1) base = window_of({8, 4, 12}, {1, 12 * 8, 8}, 0);
    Window view = base;
    const auto steps = 1 + engine() % 4;
    for (uint32_t i = 0; i < steps; ++i) view = viewed(view, engine);
    const auto form = view_form(base, view);
    if (!form) continue;
    ++found;
    expect_same_places(base, view, *form);
    EXPECT_TRUE(form->is_like(*view_form(base, view)));
  }
  EXPECT_GT(found, 3000);
}

TEST(ViewForm, IsNoneForWhatIsNoPartOfOneAxisEach) {
  const Window base = window_of({4, 6}, {6, 1});
  EXPECT_TRUE(view_form(base, base));
  EXPECT_FALSE(view_form(base, window_of({24}, {1}))) << "both axes at once";
  EXPECT_FALSE(view_form(base, window_of({4}, {7}))) << "a diagonal";
  EXPECT_FALSE(view_form(base, window_of({3, 5, 2}, {6, 1, 1}))) << "windows that overlap";
  EXPECT_FALSE(view_form(base, window_of({2, 6}, {6, 1}, 18))) << "beyond the end";
  EXPECT_FALSE(view_form(base, window_of({4, 4}, {6, 1}, 4))) << "into the next row";
  EXPECT_FALSE(view_form(window_of({2, 6}, {6, 1}, 6), base)) << "more than the base";
  EXPECT_FALSE(view_form(window_of({4, 6}, {0, 1}), base)) << "the base overlaps itself";
  EXPECT_FALSE(view_form(base, {0, TensorInfo{DType::Int32, {4, 6}, {6, 1}}, 0}));
  EXPECT_FALSE(view_form(base, window_of({0, 6}, {6, 1})));
}

TEST(ViewForm, NumbersAreNoPartOfIt) {
  const auto half = [](int64_t width, int64_t start) {
    return *view_form(window_of({3, width}, {width, 1}),
                      window_of({3, width / 2}, {width, 1}, start));
  };
  EXPECT_TRUE(half(8, 0).is_like(half(20, 10)));
  EXPECT_FALSE(
      half(8, 0).is_like(*view_form(window_of({3, 8}, {8, 1}), window_of({3, 8}, {8, 1}))));
}

}  // namespace
}  // namespace flambeau::compiler
